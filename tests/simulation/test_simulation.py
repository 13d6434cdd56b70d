"""Seeded simulations: workloads under refused writes, late events and crashes before and after any write.

KNARR_SEEDS sets the number of seeds, KNARR_SEED replays one:
    KNARR_SEED=17 pytest tests/simulation -k rollout
"""

import asyncio
import contextlib
import os
import random
from collections.abc import Awaitable, Callable

import pytest

from knarr.base import tasks
from knarr.base.clock import LoopClock
from knarr.base.errors import NotFound
from knarr.client.client import DeleteOptions, Json
from knarr.controllers.registry import Controllers, all_controllers
from knarr.kinds.apps import DEPLOYMENT, REPLICASET, STATEFULSET
from knarr.kinds.batch import JOB
from knarr.kinds.core_config import NODE
from knarr.kinds.core_pod import POD
from tests.simulation import virtual_time
from tests.simulation.chaos import Incarnation, SeededFaults
from tests.simulation.cluster import COLLECTED, START, MemoryKubelet
from tests.simulation.memory_api import MemoryApi
from tests.simulation.safety import Watchman, is_active, is_ready

COUNT = int(os.environ.get("KNARR_SEEDS", "40"))
SEEDS = [int(os.environ["KNARR_SEED"])] if "KNARR_SEED" in os.environ else range(COUNT)
CHOSEN = [one for one in all_controllers() if one.name != "node-controller"]


class World:
    """One seeded run: the API, the kubelet, and controllers that die and come back."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.clock = LoopClock(START)
        self.faults = SeededFaults(
            seed, rate=self.random.choice([0.0, 0.02, 0.1]), lag_seconds=self.random.choice([0.0, 0.5])
        )
        self.api = MemoryApi(self.clock, seed)
        self.watchman = Watchman(self.api)
        self.kubelet = MemoryKubelet(self.api, self.clock)
        self.kubelet.start_seconds = self.random.choice([0.1, 1.0, 3.0])
        self.controllers: Controllers | None = None
        self.is_calm = False

    async def live(self) -> None:
        """Controllers, again and again."""
        while True:
            fatal = 0 if self.is_calm else self.random.randint(1, 60)
            client = Incarnation(self.api, fatal, dies_before=self.random.random() < 0.5)
            self.controllers = Controllers(client, self.clock, controllers=CHOSEN, collected=COLLECTED)
            life = asyncio.create_task(self.controllers.run(lambda: None))
            await client.died.wait()
            assert self.controllers.crashes == 0
            await tasks.cancel(life)

    async def settle(self) -> None:
        self.is_calm = True
        self.faults.stop()
        quiet = 0
        for _ in range(300):
            before = self.api.revision
            await asyncio.sleep(5.0)
            assert self.controllers is not None
            quiet = quiet + 1 if self.api.revision == before and self.controllers.is_idle else 0
            if quiet == 8:  # Longer than any back-off that a fault left behind.
                return
        raise AssertionError("the world does not come to rest")


async def simulate(seed: int, act: Callable[[World], Awaitable[None]]) -> World:
    world = World(seed)
    for node in world.kubelet.nodes:
        await world.api.create(NODE, "", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
    world.api.faults = world.faults
    async with asyncio.TaskGroup() as group:
        started = [await tasks.start(group, "kubelet", world.kubelet.run), group.create_task(world.live())]
        await act(world)
        await world.settle()
        assert world.controllers is not None
        assert world.controllers.crashes == 0
        for task in started:
            await tasks.cancel(task)
    return world


async def insist(call: Callable[[], Awaitable[object]]) -> None:
    """A user who tries again."""
    for _ in range(50):
        try:
            await call()
            return
        except Exception as error:
            if "already exists" in str(error):
                return
            await asyncio.sleep(0.1)


def deployment(replicas: int, version: str) -> Json:
    rolling = {"maxSurge": 1, "maxUnavailable": 1}
    template = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"terminationGracePeriodSeconds": 2, "containers": [{"name": "c", "image": version}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {
            "replicas": replicas,
            "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
            "selector": {"matchLabels": {"app": "web"}},
            "template": template,
        },
    }


async def roll(world: World) -> None:
    """A Deployment of constant size whose template changes again and again."""
    replicas = world.random.randint(1, 6)
    await insist(lambda: world.api.create(DEPLOYMENT, "default", deployment(replicas, "v0")))
    world.watchman.total_max = replicas + 1
    await asyncio.sleep(20)
    world.watchman.floor = max(0, replicas - 1) if sum(is_ready(p) for p in world.api.all(POD)) == replicas else 0
    for _ in range(world.random.randint(1, 4)):
        version = f"v{world.random.randint(0, 2)}"
        body = {"spec": {"template": deployment(replicas, version)["spec"]["template"]}}
        await insist(lambda body=body: world.api.patch(DEPLOYMENT, "default", "web", body))
        await asyncio.sleep(world.random.choice([0.0, 0.5, 2.0, 10.0]))


async def scale(world: World) -> None:
    """Sizes change and pods vanish while a template rolls out."""
    await insist(lambda: world.api.create(DEPLOYMENT, "default", deployment(3, "v0")))
    for _ in range(world.random.randint(2, 6)):
        body: Json = {"spec": {"replicas": world.random.randint(0, 8)}}
        if world.random.random() < 0.3:
            body["spec"]["template"] = deployment(1, f"v{world.random.randint(0, 2)}")["spec"]["template"]
        await insist(lambda body=body: world.api.patch(DEPLOYMENT, "default", "web", body))
        await asyncio.sleep(world.random.choice([0.0, 0.5, 2.0, 10.0]))
        pods = world.api.all(POD)
        if pods and world.random.random() < 0.5:
            victim = world.random.choice(pods)["metadata"]["name"]
            with contextlib.suppress(Exception):
                await world.api.delete(POD, "default", victim)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rollout_never_overshoots_and_arrives(seed: int) -> None:
    world = virtual_time.run(simulate(seed, roll))
    found = world.api.all(DEPLOYMENT)[0]
    wanted = found["spec"]["replicas"]
    assert found["status"].get("availableReplicas", 0) == wanted, f"replay: KNARR_SEED={seed} pytest -k rollout"
    assert found["status"].get("updatedReplicas", 0) == wanted
    assert sum(is_active(pod) for pod in world.api.all(POD)) == wanted


@pytest.mark.parametrize("seed", SEEDS)
def test_a_scaled_deployment_arrives_at_its_size(seed: int) -> None:
    world = virtual_time.run(simulate(seed, scale))
    found = world.api.all(DEPLOYMENT)[0]
    assert found["status"].get("availableReplicas", 0) == found["spec"]["replicas"]
    assert sum(is_active(pod) for pod in world.api.all(POD)) == found["spec"]["replicas"]


async def delete_in_mid_roll(world: World) -> None:
    await roll(world)
    world.watchman.floor = 0
    policy = world.random.choice(["Foreground", "Background"])

    async def gone() -> None:
        with contextlib.suppress(NotFound):
            await world.api.delete(DEPLOYMENT, "default", "web", DeleteOptions(propagation=policy))

    await insist(gone)


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_of_a_deleted_deployment_stays(seed: int) -> None:
    world = virtual_time.run(simulate(seed, delete_in_mid_roll))
    assert [world.api.all(kind) for kind in (DEPLOYMENT, REPLICASET, POD)] == [[], [], []]


def job(completions: int, parallelism: int) -> Json:
    marks = {"test/exit": "0", "test/after": "1"}
    spec = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "work"},
        "spec": {
            "completions": completions,
            "parallelism": parallelism,
            "template": {"metadata": {"annotations": marks}, "spec": spec},
        },
    }


async def run_job(world: World) -> None:
    body = job(world.random.randint(1, 6), world.random.randint(1, 4))
    await insist(lambda: world.api.create(JOB, "default", body))
    await asyncio.sleep(15)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_job_counts_each_success_once(seed: int) -> None:
    world = virtual_time.run(simulate(seed, run_job))
    found = world.api.all(JOB)[0]
    assert found["status"]["succeeded"] == found["spec"]["completions"]
    assert any(one["type"] == "Complete" for one in found["status"]["conditions"])
    assert [pod for pod in world.api.all(POD) if pod["metadata"].get("finalizers")] == []


def stateful_set(replicas: int, version: str) -> Json:
    spec = {"terminationGracePeriodSeconds": 1, "containers": [{"name": "c", "image": version}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db"},
        "spec": {
            "replicas": replicas,
            "serviceName": "db",
            "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": spec},
        },
    }


async def change_stateful_set(world: World) -> None:
    await insist(lambda: world.api.create(STATEFULSET, "default", stateful_set(2, "v0")))
    for _ in range(world.random.randint(1, 4)):
        await asyncio.sleep(world.random.choice([1.0, 8.0]))
        body = {"spec": stateful_set(world.random.randint(1, 4), f"v{world.random.randint(0, 2)}")["spec"]}
        await insist(lambda body=body: world.api.patch(STATEFULSET, "default", "db", body))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stateful_set_keeps_its_order_and_arrives(seed: int) -> None:
    world = virtual_time.run(simulate(seed, change_stateful_set))
    found = world.api.all(STATEFULSET)[0]
    wanted = found["spec"]["replicas"]
    names = [pod["metadata"]["name"] for pod in world.api.all(POD)]
    assert names == [f"db-{number}" for number in range(wanted)]
    assert found["status"]["readyReplicas"] == found["status"]["updatedReplicas"] == wanted
