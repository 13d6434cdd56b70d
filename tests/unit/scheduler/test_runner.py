"""The scheduler over the API server in process, in virtual time: bindings, refusals, gates, preemption, chaos."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from knarr.apiserver.context import User
from knarr.apiserver.pipeline import Pipeline
from knarr.apiserver.server import ApiServer
from knarr.base import tasks
from knarr.base.clock import LoopClock
from knarr.base.errors import NotFound
from knarr.client import reflector
from knarr.client.cache import Cache, Changed
from knarr.client.client import DeleteOptions, Json
from knarr.client.events import EventRecorder
from knarr.client.inprocess import InProcessTransport
from knarr.client.requests import ApiClient
from knarr.kinds import registry
from knarr.kinds.core_config import EVENT, NAMESPACE, NODE, SERVICEACCOUNT
from knarr.kinds.core_pod import POD
from knarr.kinds.core_storage import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, STORAGECLASS
from knarr.kinds.lens.pod import Pod
from knarr.kinds.volumes import BIND_COMPLETED
from knarr.scheduler import runner, wanted
from knarr.scheduler.profile import DEFAULT, DEFAULT_CONFIGURATION, Configuration, Fit
from knarr.store.memory import MemoryStore
from tests.simulation import virtual_time

PRIORITYCLASS = registry.row("scheduling.k8s.io", "v1", "PriorityClass")
START = datetime(2030, 1, 1, tzinfo=UTC)


class Stage:
    """An API server with the scheduler beside it."""

    def __init__(self, configuration: Configuration = DEFAULT_CONFIGURATION) -> None:
        clock = LoopClock(START)
        pipeline = Pipeline(ApiServer(MemoryStore(), clock))
        self.client = ApiClient(InProcessTransport(pipeline.handle_as, User("test", ("system:masters",))))
        self.cache = Cache(runner.KINDS)
        self.recorder = EventRecorder(self.client, clock, runner.NAME)
        self.scheduler = runner.Scheduler(self.client, self.cache, clock, self.recorder, configuration)
        self.clock = clock

    async def node(self, name: str, cpu: str = "2", **more: Json) -> None:
        await self.client.create(NODE, "", {"metadata": {"name": name, "labels": {"host": name}}, **more})
        status = {"allocatable": {"cpu": cpu, "memory": "1Gi", "pods": "10"}}
        await self.client.patch(NODE, "", name, {"status": status}, subresource="status")

    async def pod(self, name: str, cpu: str = "100m", port: int = 0, **spec: Any) -> None:
        container = {"name": "c", "image": "web:1", "resources": {"requests": {"cpu": cpu}}}
        ports = [{"containerPort": port, "hostPort": port}] if port else []
        body = {"metadata": {"name": name}, "spec": {"containers": [{**container, "ports": ports}], **spec}}
        await self.client.create(POD, "default", body)

    async def read(self, name: str) -> Pod:
        return msgspec.convert(await self.client.get(POD, "default", name), Pod)

    async def pods(self) -> list[Pod]:
        return [msgspec.json.decode(raw, type=Pod) for raw in (await self.client.list(POD)).items]

    async def kill(self, name: str) -> None:
        with contextlib.suppress(NotFound):
            await self.client.delete(POD, "default", name, DeleteOptions(grace_period_seconds=0))

    async def told(self, reason: str) -> list[str]:
        found = [msgspec.json.decode(raw) for raw in (await self.client.list(EVENT)).items]
        return [event["message"] for event in found if event["reason"] == reason]


@contextlib.asynccontextmanager
async def running(configuration: Configuration) -> AsyncIterator[Stage]:
    stage = Stage(configuration)
    await stage.client.create(NAMESPACE, "", {"metadata": {"name": "default"}})
    await stage.client.create(PRIORITYCLASS, "", {"metadata": {"name": "high"}, "value": 1000})
    await stage.client.create(SERVICEACCOUNT, "default", {"metadata": {"name": "default"}})
    async with asyncio.TaskGroup() as group:
        started = [
            await tasks.start(group, "cache", lambda up: reflector.run(stage.client, stage.cache, stage.clock, up)),
            await tasks.start(group, "events", stage.recorder.run),
            await tasks.start(group, "scheduler", stage.scheduler.run),
        ]
        yield stage
        for task in reversed(started):
            await tasks.cancel(task)


def staged(play: Callable[[Stage], Any], configuration: Configuration = DEFAULT_CONFIGURATION) -> None:
    async def main() -> None:
        async with running(configuration) as stage:
            await play(stage)

    virtual_time.run(main())


async def rest() -> None:
    """In virtual time a second passes when nothing else is left to do."""
    await asyncio.sleep(1)


def condition(pod: Pod) -> tuple[str, str, str]:
    (found,) = [each for each in pod.status.conditions if each.type == "PodScheduled"]
    return found.status, found.reason, found.message


def test_a_pod_is_bound_and_told_so() -> None:
    async def play(stage: Stage) -> None:
        await stage.node("a")
        await stage.pod("p")
        await rest()
        assert (await stage.read("p")).spec.node_name == "a"
        assert await stage.told("Scheduled") == ["Successfully assigned default/p to a"]

    staged(play)


def test_a_refused_pod_says_why_and_goes_once_there_is_room() -> None:
    async def play(stage: Stage) -> None:
        await stage.node("a", cpu="1")
        await stage.pod("first", cpu="1")
        await rest()
        await stage.pod("second", cpu="1")
        await rest()
        why = (
            "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: "
            "1 No preemption victims found for incoming pod."
        )
        assert condition(await stage.read("second")) == ("False", "Unschedulable", why)
        assert await stage.told("FailedScheduling") == [why]
        await stage.kill("first")
        await rest()
        assert (await stage.read("second")).spec.node_name == "a"

    staged(play)


def test_a_gated_pod_waits_until_its_gates_are_gone() -> None:
    async def play(stage: Stage) -> None:
        await stage.node("a")
        await stage.pod("p", schedulingGates=[{"name": "example.com/wait"}])
        await rest()
        told = "Scheduling is blocked due to non-empty scheduling gates"
        assert condition(await stage.read("p")) == ("False", "SchedulingGated", told)
        await stage.client.patch(POD, "default", "p", {"spec": {"schedulingGates": None}})
        await rest()
        assert (await stage.read("p")).spec.node_name == "a"

    staged(play)


def test_a_pod_of_another_scheduler_is_left_alone() -> None:
    async def play(stage: Stage) -> None:
        await stage.node("a")
        await stage.pod("p", schedulerName="mine")
        await rest()
        found = await stage.read("p")
        assert (found.spec.node_name, found.status.conditions) == ("", ())

    staged(play)


def test_each_profile_schedules_the_pods_that_name_it() -> None:
    packing = replace(DEFAULT, name="packing", fit=Fit("MostAllocated"), can_preempt=False)

    async def play(stage: Stage) -> None:
        await stage.node("a")
        await stage.node("b")
        await stage.pod("first", cpu="1", schedulerName="packing")
        await rest()
        await stage.pod("spread")
        await stage.pod("packed", schedulerName="packing")
        await stage.pod("huge", cpu="9", schedulerName="packing")
        await rest()
        first = (await stage.read("first")).spec.node_name
        assert (await stage.read("packed")).spec.node_name == first
        assert (await stage.read("spread")).spec.node_name != first
        assert condition(await stage.read("huge"))[2] == "0/2 nodes are available: 2 Insufficient cpu."
        told = [msgspec.json.decode(raw) for raw in (await stage.client.list(EVENT)).items]
        tellers = {one["involvedObject"]["name"]: one["source"]["component"] for one in told}
        assert tellers == {"first": "packing", "spread": "default-scheduler", "packed": "packing", "huge": "packing"}

    staged(play, Configuration({"default-scheduler": DEFAULT, "packing": packing}))


def test_important_pods_that_fit_nowhere_do_not_starve_the_others() -> None:
    async def play(stage: Stage) -> None:
        await stage.node("a", cpu="2")
        for number in range(30):
            await stage.pod(f"huge{number}", cpu="4", priorityClassName="high")
        await rest()
        for number in range(20):
            await stage.pod(f"small{number}", cpu="1")
            await asyncio.sleep(0.1)
            assert (await stage.read(f"small{number}")).spec.node_name == "a"
            await stage.kill(f"small{number}")
        assert len(await stage.told("FailedScheduling")) == 30

    staged(play)


def test_a_claim_that_waits_for_its_consumer_gets_a_volume_of_the_pods_node() -> None:
    async def play(stage: Stage) -> None:
        await stage.node("a", cpu="2")
        await stage.node("b", cpu="2")
        await stage.client.create(STORAGECLASS, "", local_class())
        await stage.client.create(PERSISTENTVOLUMECLAIM, "default", local_claim())
        await stage.client.create(PERSISTENTVOLUME, "", local_volume("disk", "b"))
        volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "store"}}]
        await stage.pod("p", cpu="1500m", volumes=volumes)
        await rest()
        volume = await stage.client.get(PERSISTENTVOLUME, "", "disk")
        assert volume["spec"]["claimRef"]["name"] == "store"
        assert (await stage.read("p")).spec.node_name == "", "the binder has not said yes"
        bound = {"metadata": {"annotations": {BIND_COMPLETED: "yes"}}, "spec": {"volumeName": "disk"}}
        await stage.client.patch(PERSISTENTVOLUMECLAIM, "default", "store", bound)
        await rest()
        assert (await stage.read("p")).spec.node_name == "b"
        await stage.pod("q", cpu="1", volumes=volumes)
        await rest()
        message = condition(await stage.read("q"))[2]
        assert message.startswith("0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had volume node affinity")

    staged(play)


def test_a_claim_without_a_volume_says_so_until_one_comes() -> None:
    async def play(stage: Stage) -> None:
        await stage.node("a")
        await stage.client.create(STORAGECLASS, "", local_class())
        await stage.client.create(PERSISTENTVOLUMECLAIM, "default", local_claim())
        await stage.pod("p", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "store"}}])
        await rest()
        said = "0/1 nodes are available: 1 node(s) didn't find available persistent volumes to bind."
        assert condition(await stage.read("p"))[2].startswith(said)
        await stage.client.create(PERSISTENTVOLUME, "", local_volume("disk", "a"))
        await rest()
        volume = await stage.client.get(PERSISTENTVOLUME, "", "disk")
        assert volume["spec"]["claimRef"]["name"] == "store"

    staged(play)


def local_class() -> Json:
    mode = "WaitForFirstConsumer"
    return {"metadata": {"name": "local"}, "provisioner": "kubernetes.io/no-provisioner", "volumeBindingMode": mode}


def local_claim() -> Json:
    requests = {"requests": {"storage": "1Gi"}}
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "local", "resources": requests}
    return {"metadata": {"name": "store"}, "spec": spec}


def local_volume(name: str, host: str) -> Json:
    asked = {"matchExpressions": [{"key": "host", "operator": "In", "values": [host]}]}
    spec: Json = {
        "capacity": {"storage": "1Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "local",
        "local": {"path": "/srv"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [asked]}},
    }
    return {"metadata": {"name": name}, "spec": spec}


def test_a_more_important_pod_makes_room_and_gets_it() -> None:
    async def play(stage: Stage) -> None:
        await stage.node("a", cpu="1")
        await stage.pod("low", cpu="1", terminationGracePeriodSeconds=5)
        await rest()
        await stage.pod("vip", cpu="1", priorityClassName="high")
        await rest()
        victim, waiting = await stage.read("low"), await stage.read("vip")
        assert victim.metadata.deletion_grace_period_seconds == 5
        assert [each.reason for each in victim.status.conditions if each.type == "DisruptionTarget"] == [
            "PreemptionByScheduler"
        ]
        assert (waiting.status.nominated_node_name, waiting.spec.node_name) == ("a", "")
        assert await stage.told("Preempted") == [f"Preempted by pod {waiting.metadata.uid} on node a"]
        await stage.kill("low")
        await rest()
        assert (await stage.read("vip")).spec.node_name == "a"

    staged(play)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_happens_no_node_is_given_more_than_it_has(seed: int) -> None:
    async def play(stage: Stage) -> None:
        chance = random.Random(seed)
        reaped: set[asyncio.Task[None]] = set()

        def reap(changed: Changed) -> None:
            """The kubelet's part: a pod that is to go is gone soon."""
            if changed.new is not None and changed.new.metadata.deletion_timestamp is not None:
                task = asyncio.create_task(stage.kill(changed.new.metadata.name))
                reaped.add(task)
                task.add_done_callback(reaped.discard)

        stage.cache.listen(reap, kinds=[POD])
        for number in range(3):
            await stage.node(f"n{number}", cpu="2")
        for number in range(40):
            match chance.randrange(6):
                case 0:
                    await stage.kill(f"p{chance.randrange(number + 1)}")
                case 1 if number > 10:
                    await stage.client.patch(NODE, "", "n0", {"spec": {"unschedulable": chance.random() < 0.5}})
                case _:
                    more: Json = {"affinity": avoiding()} if chance.random() < 0.2 else {}
                    if chance.random() < 0.2:
                        more["priorityClassName"] = "high"
                    cpu, port = chance.choice(["100m", "500m", "1"]), chance.choice([0, 0, 8080])
                    await stage.pod(f"p{number}", cpu, port, **more)
            await asyncio.sleep(chance.choice([0, 0, 0.01]))
        await rest()
        check(await stage.pods())
        for pod in await stage.pods():
            if not pod.spec.node_name:
                assert condition(pod)[1] == "Unschedulable"
        await stage.client.patch(NODE, "", "n0", {"spec": {"unschedulable": False}})
        for number in range(20):
            await stage.node(f"more{number}", cpu="8")
        await rest()
        check(await stage.pods())
        assert [pod.metadata.name for pod in await stage.pods() if not pod.spec.node_name] == []

    staged(play)


def avoiding() -> Json:
    term = {"topologyKey": "host", "labelSelector": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}}
    return {
        "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 9, "podAffinityTerm": term}]}
    }


def check(pods: list[Pod]) -> None:
    used: Counter[str] = Counter()
    ports: Counter[tuple[str, int]] = Counter()
    for pod in pods:
        if pod.spec.node_name:
            used[pod.spec.node_name] += wanted.of(pod).requests["cpu"]
            ports.update((pod.spec.node_name, port[1]) for port in wanted.of(pod).host_ports)
    assert all(amount <= (8000 if name.startswith("more") else 2000) for name, amount in used.items())
    assert all(count == 1 for count in ports.values())
