"""How fast the scheduler is: N simulated nodes, M pods of T templates; the decisions alone, then API and store too.

    PYTHONPATH=src:. python bench/scheduler.py [nodes] [pods] [templates]
The aim is 2,000 pods a second on 5,000 nodes. Decisions: schedule() and placing. Whole: pods are created through the
API server in process over a memory store, the clock runs from the scheduler's start until all are bound; their events
are written meanwhile. CPU time of one core: what others do on the machine does not count. "In turn": each pod is of
another template than the one before, the worst case for answers that are kept per template.
"""

import asyncio
import gc
import sys
import time

import msgspec

from knarr.apiserver.context import User
from knarr.apiserver.pipeline import Pipeline
from knarr.apiserver.server import ApiServer
from knarr.assembly.role import GC_THRESHOLDS
from knarr.base import tasks
from knarr.base.clock import SystemClock
from knarr.client import reflector
from knarr.client.cache import Cache
from knarr.client.client import Json
from knarr.client.events import EventRecorder
from knarr.client.inprocess import InProcessTransport
from knarr.client.requests import ApiClient
from knarr.kinds.apps import REPLICASET
from knarr.kinds.core_config import NAMESPACE, NODE, SERVICEACCOUNT
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.node import Node
from knarr.kinds.lens.pod import Pod
from knarr.objects import labels
from knarr.scheduler import runner
from knarr.scheduler.node_state import NodeState
from knarr.scheduler.schedule import Bound, schedule
from knarr.scheduler.snapshot import Snapshot
from knarr.store.memory import MemoryStore


def node(number: int) -> Json:
    marks = {"kubernetes.io/hostname": f"node-{number}", "topology.kubernetes.io/zone": f"zone-{number % 3}"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": f"node-{number}", "labels": marks},
        "status": {"allocatable": {"cpu": str(4 + number % 3), "memory": "32Gi", "pods": "110"}},
    }


def pod(number: int, templates: int, **more: object) -> Json:
    app = f"app-{number % templates}"
    requests = {"cpu": f"{100 + number % templates}m", "memory": "100Mi"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"pod-{number}", "namespace": "default", "uid": f"uid-{number}", "labels": {"app": app}},
        "spec": {"containers": [{"name": "c", "image": "web:1", "resources": {"requests": requests}}], **more},
    }


ANTI: Json = {
    "affinity": {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "app-0"}}}
            ]
        }
    }
}
SPREAD: Json = {
    "topologySpreadConstraints": [
        {
            "maxSkew": 1,
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "app-0"}},
        }
    ]
}


def owned(body: Json) -> Json:
    """The pod as one of the ReplicaSet of its app: the profile then spreads it over hosts and zones."""
    reference = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": body["metadata"]["labels"]["app"], "uid": "u"}
    body["metadata"]["ownerReferences"] = [reference | {"controller": True}]
    return body


def deployments(nodes: int, pods: int, sets: int) -> None:
    """Pods of many Deployments in turn, as most clusters have them."""
    snapshot = Snapshot([NodeState(msgspec.convert(node(number), Node)) for number in range(nodes)])
    for number in range(sets):
        name = f"app-{number}"
        snapshot.siblings.note(REPLICASET, ("default", name), labels.equal({"app": name}))
    asking = [msgspec.convert(owned(pod(number, sets)), Pod) for number in range(pods)]
    told("decisions", f"{sets} Deployments, in turn", (nodes, pods), placing(asking, snapshot))


def decisions(nodes: int, pods: int, templates: int, name: str, **more: object) -> None:
    snapshot = Snapshot([NodeState(msgspec.convert(node(number), Node)) for number in range(nodes)])
    asking = [msgspec.convert(pod(number, templates, **more), Pod) for number in range(pods)]
    told("decisions", f"{name}, {templates} templates", (nodes, pods), placing(asking, snapshot))


def placing(asking: list[Pod], snapshot: Snapshot) -> float:
    """Seconds of CPU time for deciding about all of them, one after the other."""
    begun = time.process_time()
    for each in asking:
        outcome = schedule(each, snapshot)
        assert isinstance(outcome, Bound), outcome.message
        snapshot.place(each, outcome.node)
    return time.process_time() - begun


def told(what: str, name: str, size: tuple[int, int], cpu: float) -> None:
    nodes, pods = size
    print(f"{what:9} {nodes:5} nodes {pods:6} pods  {name:36} {pods / cpu:7.0f} pods per second of CPU")


async def whole(nodes: int, pods: int, templates: int, name: str = "plain", **more: object) -> None:
    clock = SystemClock()
    pipeline = Pipeline(ApiServer(MemoryStore(), clock))
    client = ApiClient(InProcessTransport(pipeline.handle_as, User("bench", ("system:masters",))))
    await client.create(NAMESPACE, "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    await client.create(SERVICEACCOUNT, "default", account)
    for number in range(nodes):
        body = node(number)
        await client.create(NODE, "", body)
        await client.patch(NODE, "", body["metadata"]["name"], {"status": body["status"]}, subresource="status")
    for number in range(pods):
        await client.create(POD, "default", pod(number, templates, **more))
    cache = Cache(runner.KINDS)
    bound = 0
    done = asyncio.Event()

    def count(changed: object) -> None:
        nonlocal bound
        bound = len(cache.held_all(POD)) - len(cache.on_node(Pod, "")) if bound < 0 else bound + 1
        if bound >= pods:
            done.set()

    recorder = EventRecorder(client, clock, runner.NAME)
    scheduler = runner.Scheduler(client, cache, clock, recorder)
    async with asyncio.TaskGroup() as group:
        running = [
            await tasks.start(group, "cache", lambda up: reflector.run(client, cache, clock, up)),
            await tasks.start(group, "events", recorder.run),
        ]
        cache.listen(lambda changed: count(changed) if changed.new and changed.new.node else None, kinds=[POD])
        cpu = time.process_time()
        running.append(await tasks.start(group, "scheduler", scheduler.run))
        await tasks.deadline(done.wait(), 300, "all pods bound")
        told("whole", f"{name}, {templates} templates", (nodes, pods), time.process_time() - cpu)
        for task in running:
            await tasks.cancel(task)


MIXES: dict[str, Json] = {"plain": {}, "spread over zones": SPREAD, "one per host": ANTI}


def main(nodes: int, pods: int, templates: int) -> None:
    for name, more in MIXES.items():
        count = pods if not more else max(1, min(pods, nodes) // 2)
        decisions(nodes, count, 1, name, **more)
        asyncio.run(whole(nodes, count, 1, name, **more))
    decisions(nodes, pods, templates, "plain, in turn")
    asyncio.run(whole(nodes, pods, templates, "plain, in turn"))
    deployments(nodes, pods, templates)


if __name__ == "__main__":
    gc.set_threshold(*GC_THRESHOLDS)  # As the control process does.
    arguments = [int(text) for text in sys.argv[1:]]
    if arguments:
        main(*(arguments + [5000, 10000, 50][len(arguments) :]))
    else:
        for size, number in ((1, 30), (100, 2000), (1000, 5000), (5000, 10000)):
            main(size, number, 50)
