"""What users do in a simulated world, and what must be true once it came to rest. One row per act (`ACTS`).

An act draws sizes and moments from the world's random numbers; `arrived` raises AssertionError where the end is wrong.
What must hold on the way is safety.py's.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from knarr.base.errors import NotFound
from knarr.client.client import DeleteOptions, Json
from knarr.kinds.apps import DAEMONSET, DEPLOYMENT, REPLICASET, REPLICATIONCONTROLLER, STATEFULSET
from knarr.kinds.batch import CRONJOB, JOB
from knarr.kinds.core_config import NODE
from knarr.kinds.core_pod import POD
from tests.simulation.safety import controller, is_active, pinned_node
from tests.simulation.world import World, insist, node_body

Act = Callable[[World], Awaitable[None]]
Arrived = Callable[[World], None]


def root(api_version: str, kind: str, name: str, spec: Json) -> Json:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "spec": spec}


def template(app: str, version: str, grace_seconds: int = 2, **annotations: str) -> Json:
    containers = [{"name": "c", "image": version}]
    return {
        "metadata": {"labels": {"app": app}, "annotations": annotations},
        "spec": {"terminationGracePeriodSeconds": grace_seconds, "containers": containers},
    }


async def change(world: World, kind: Any, name: str, spec: Json) -> None:
    await insist(lambda: world.api.patch(kind, "default", name, {"spec": spec}))


# -- Deployment --------------------------------------------------------------------------------------------------------


def deployment(replicas: int, version: str) -> Json:
    spec = {
        "replicas": replicas,
        "progressDeadlineSeconds": 600,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}},
        "selector": {"matchLabels": {"app": "web"}},
        "template": template("web", version),
    }
    return root("apps/v1", "Deployment", "web", spec)


async def roll(world: World) -> None:
    """A Deployment of constant size whose template changes again and again."""
    replicas = world.random.randint(1, 6)
    await insist(lambda: world.api.create(DEPLOYMENT, "default", deployment(replicas, "v0")))
    world.watchman.total_max = replicas + 1
    await asyncio.sleep(20)
    # The floor stands once the controllers *know* that all are available: nobody can keep what he has not seen yet.
    known = world.api.all(DEPLOYMENT)[0].get("status", {}).get("availableReplicas", 0)
    world.watchman.floor = replicas - 1 if known == replicas else 0
    for _ in range(world.random.randint(1, 4)):
        await change(world, DEPLOYMENT, "web", {"template": template("web", f"v{world.random.randint(0, 2)}")})
        await asyncio.sleep(world.random.choice([0.0, 0.5, 2.0, 10.0]))


async def scale(world: World) -> None:
    """Sizes change and pods vanish while a template rolls out."""
    await insist(lambda: world.api.create(DEPLOYMENT, "default", deployment(3, "v0")))
    for _ in range(world.random.randint(2, 6)):
        spec: Json = {"replicas": world.random.randint(0, 8)}
        if world.random.random() < 0.3:
            spec["template"] = template("web", f"v{world.random.randint(0, 2)}")
        await change(world, DEPLOYMENT, "web", spec)
        await asyncio.sleep(world.random.choice([0.0, 0.5, 2.0, 10.0]))
        await kill_some_pod(world)


async def kill_some_pod(world: World) -> None:
    pods = world.api.all(POD)
    if pods and world.random.random() < 0.5:
        victim = world.random.choice(pods)["metadata"]["name"]
        with contextlib.suppress(Exception):
            await world.api.delete(POD, "default", victim)


def deployment_arrived(world: World) -> None:
    found = world.api.all(DEPLOYMENT)[0]
    wanted, status = found["spec"]["replicas"], found["status"]
    assert (status.get("availableReplicas", 0), status.get("updatedReplicas", 0)) == (wanted, wanted)
    assert sum(is_active(pod) for pod in world.api.all(POD)) == wanted


async def delete_in_mid_roll(world: World) -> None:
    await roll(world)
    world.watchman.floor = 0
    policy = world.random.choice(["Foreground", "Background"])

    async def gone() -> None:
        with contextlib.suppress(NotFound):
            await world.api.delete(DEPLOYMENT, "default", "web", DeleteOptions(propagation=policy))

    await insist(gone)


def nothing_is_left(world: World) -> None:
    assert [world.api.all(kind) for kind in (DEPLOYMENT, REPLICASET, POD)] == [[], [], []]


# -- ReplicaSet and ReplicationController ------------------------------------------------------------------------------


async def claim(world: World) -> None:
    """Pods are adopted, released by their labels and killed while the size changes."""
    kind = world.random.choice([REPLICASET, REPLICATIONCONTROLLER])
    selector: Json = {"app": "set"} if kind == REPLICATIONCONTROLLER else {"matchLabels": {"app": "set"}}
    spec = {"replicas": 2, "selector": selector, "template": template("set", "v0")}
    orphan = {"apiVersion": "v1", "kind": "Pod", **template("set", "v0")}
    orphan["metadata"] = {**orphan["metadata"], "name": "orphan"}
    await insist(lambda: world.api.create(POD, "default", orphan))
    await insist(lambda: world.api.create(kind, "default", root(kind.api_version, kind.kind, "set", spec)))
    for _ in range(world.random.randint(1, 5)):
        await asyncio.sleep(world.random.choice([0.0, 1.0, 6.0]))
        pods = world.api.all(POD)
        if pods and world.random.random() < 0.4:
            name = world.random.choice(pods)["metadata"]["name"]
            body = {"metadata": {"labels": {"app": world.random.choice(["set", "other"])}}}
            with contextlib.suppress(Exception):
                await world.api.patch(POD, "default", name, body)
        await kill_some_pod(world)
        await change(world, kind, "set", {"replicas": world.random.randint(0, 5)})


def claims_arrived(world: World) -> None:
    found = next(one for kind in (REPLICASET, REPLICATIONCONTROLLER) for one in world.api.all(kind))
    wanted = found["spec"]["replicas"]
    active = [pod for pod in world.api.all(POD) if is_active(pod)]
    mine = [pod for pod in active if (controller(pod) or {}).get("uid") == found["metadata"]["uid"]]
    assert len(mine) == found["status"].get("readyReplicas", 0) == wanted
    assert all((pod["metadata"]["labels"]["app"] == "set") == (pod in mine) for pod in active)


# -- Job and CronJob ---------------------------------------------------------------------------------------------------


def job_spec(completions: int, parallelism: int, **marks: str) -> Json:
    spec = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}
    annotations = {"test/exit": "0", "test/after": "1", **marks}
    pod = {"metadata": {"annotations": annotations}, "spec": spec}
    return {"completions": completions, "parallelism": parallelism, "backoffLimit": 50, "template": pod}


async def run_job(world: World) -> None:
    spec = job_spec(world.random.randint(1, 6), world.random.randint(1, 4))
    await insist(lambda: world.api.create(JOB, "default", root("batch/v1", "Job", "work", spec)))
    await asyncio.sleep(15)


async def run_indexed_job(world: World) -> None:
    """Some of its pods fail and are tried again."""
    spec = job_spec(world.random.randint(1, 5), world.random.randint(1, 4), **{"test/fails": "30"})
    spec["completionMode"] = "Indexed"
    await insist(lambda: world.api.create(JOB, "default", root("batch/v1", "Job", "work", spec)))
    for _ in range(500):  # Failures in a row are waited for longer and longer: ten minutes at most.
        await asyncio.sleep(15)
        if any(one["type"] == "Complete" for one in world.api.all(JOB)[0].get("status", {}).get("conditions", ())):
            break


def job_arrived(world: World) -> None:
    found = world.api.all(JOB)[0]
    assert found["status"]["succeeded"] == found["spec"]["completions"]
    assert any(one["type"] == "Complete" for one in found["status"]["conditions"])
    pods = world.api.all(POD)
    assert [pod for pod in pods if pod["metadata"].get("finalizers")] == []
    ended = {phase: sum(pod["status"]["phase"] == phase for pod in pods) for phase in ("Succeeded", "Failed")}
    assert ended == {"Succeeded": found["spec"]["completions"], "Failed": found["status"].get("failed", 0)}


async def tick(world: World) -> None:
    """A CronJob of every ten minutes for an hour."""
    policy = world.random.choice(["Allow", "Forbid", "Replace"])
    spec = {
        "schedule": "*/10 * * * *",
        "concurrencyPolicy": policy,
        "jobTemplate": {"spec": job_spec(1, 1)},
    }
    await insist(lambda: world.api.create(CRONJOB, "default", root("batch/v1", "CronJob", "tick", spec)))
    await asyncio.sleep(3700)


def every_time_once(world: World) -> None:
    found = world.api.all(CRONJOB)[0]
    assert found["status"]["lastScheduleTime"] == "2030-01-01T01:00:00Z"
    assert len(world.api.all(JOB)) == 3, "the history keeps three"
    assert len(world.watchman.times) == 6, f"{len(world.watchman.times)} of 6 times ran"


# -- StatefulSet and DaemonSet -----------------------------------------------------------------------------------------


def stateful_set(replicas: int, version: str) -> Json:
    return {
        "replicas": replicas,
        "serviceName": "db",
        "selector": {"matchLabels": {"app": "db"}},
        "template": template("db", version, grace_seconds=1),
    }


async def change_stateful_set(world: World) -> None:
    body = root("apps/v1", "StatefulSet", "db", stateful_set(2, "v0"))
    await insist(lambda: world.api.create(STATEFULSET, "default", body))
    for _ in range(world.random.randint(1, 4)):
        await asyncio.sleep(world.random.choice([1.0, 8.0]))
        spec = stateful_set(world.random.randint(1, 4), f"v{world.random.randint(0, 2)}")
        await change(world, STATEFULSET, "db", spec)


def stateful_set_arrived(world: World) -> None:
    found = world.api.all(STATEFULSET)[0]
    wanted = found["spec"]["replicas"]
    assert [pod["metadata"]["name"] for pod in world.api.all(POD)] == [f"db-{number}" for number in range(wanted)]
    assert found["status"]["readyReplicas"] == found["status"]["updatedReplicas"] == wanted


async def change_daemon_set(world: World) -> None:
    """Nodes come and go while the template changes."""
    spec = {"selector": {"matchLabels": {"app": "agent"}}, "template": template("agent", "v0")}
    await insist(lambda: world.api.create(DAEMONSET, "default", root("apps/v1", "DaemonSet", "agent", spec)))
    for number in range(world.random.randint(1, 4)):
        await asyncio.sleep(world.random.choice([0.0, 1.0, 8.0]))
        match world.random.choice(["node", "gone", "template"]):
            case "node":
                await insist(lambda number=number: world.api.create(NODE, "", node_body(f"new-{number}")))
            case "gone":
                with contextlib.suppress(Exception):
                    await world.api.delete(NODE, "", world.random.choice(world.api.all(NODE))["metadata"]["name"])
            case _:
                version = f"v{world.random.randint(0, 2)}"
                await change(world, DAEMONSET, "agent", {"template": template("agent", version)})


def daemon_set_arrived(world: World) -> None:
    found = world.api.all(DAEMONSET)[0]
    nodes = sorted(node["metadata"]["name"] for node in world.api.all(NODE))
    assert sorted(pinned_node(pod) for pod in world.api.all(POD)) == nodes
    assert found["status"]["numberReady"] == found["status"].get("updatedNumberScheduled", 0) == len(nodes)


@dataclass(frozen=True, slots=True)
class Row:
    """What users do, and what must be true in the end."""

    act: Act
    arrived: Arrived


ACTS: Mapping[str, Row] = {
    "rollout": Row(roll, deployment_arrived),
    "scaling": Row(scale, deployment_arrived),
    "deletion": Row(delete_in_mid_roll, nothing_is_left),
    "claims": Row(claim, claims_arrived),
    "job": Row(run_job, job_arrived),
    "indexed-job": Row(run_indexed_job, job_arrived),
    "cronjob": Row(tick, every_time_once),
    "statefulset": Row(change_stateful_set, stateful_set_arrived),
    "daemonset": Row(change_daemon_set, daemon_set_arrived),
}
