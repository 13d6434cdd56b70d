"""How fast the controllers are: N Deployments of M simulated pods each, from creation until all are available.

Over the API server in process and a memory store; pods are bound and started by a simulated kubelet at once.
    python -m bench.controllers [deployments] [replicas]
The aim (1,000 x 10 in 20 s on one core) counts everything: API, store, controllers and the simulated node. The process
keeps itself to one core. Also a day of CronJobs in virtual time.
"""

import asyncio
import contextlib
import gc
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from knarr.apiserver.context import User
from knarr.apiserver.pipeline import Pipeline
from knarr.apiserver.server import ApiServer
from knarr.assembly.role import GC_THRESHOLDS
from knarr.base import tasks
from knarr.base.clock import SystemClock
from knarr.client.client import Json
from knarr.client.inprocess import InProcessTransport
from knarr.client.requests import ApiClient
from knarr.controllers.registry import Controllers
from knarr.kinds.apps import DEPLOYMENT
from knarr.kinds.core_config import NAMESPACE, NODE
from knarr.store.memory import MemoryStore
from tests.simulation.cluster import MemoryKubelet
from tests.simulation.test_days import a_day_of


def deployment(name: str, replicas: int, image: str = "web:1") -> Json:
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "c", "image": image}]}}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


async def available(client: ApiClient, replicas: int, count: int, generation: int) -> None:
    """Return once every Deployment has all its pods, new ones."""
    done: set[str] = set()
    listed = await client.list(DEPLOYMENT)
    pending = [*listed.items]

    def look(raw: bytes) -> None:
        one = msgspec.json.decode(raw)
        status = one.get("status", {})
        numbers = [status.get(key, 0) for key in ("availableReplicas", "updatedReplicas", "replicas")]
        is_observed = status.get("observedGeneration", 0) >= one["metadata"]["generation"] >= generation
        if is_observed and numbers == [replicas] * 3:
            done.add(one["metadata"]["name"])

    for raw in pending:
        look(raw)
    if len(done) == count:
        return
    async for event in client.watch(DEPLOYMENT, since=listed.revision):
        if event.type != "BOOKMARK":
            look(event.object)
        if len(done) == count:
            return


async def converge(count: int, replicas: int) -> None:
    """Create `count` Deployments, then change the template of a tenth of them; print what each took."""
    clock = SystemClock()
    pipeline = Pipeline(ApiServer(MemoryStore(), clock))
    client = ApiClient(InProcessTransport(pipeline.handle_as, User("bench", ("system:masters",))))
    nodes = [f"node-{number}" for number in range(max(2, count * replicas // 100))]
    kubelet = MemoryKubelet(client, clock, nodes)
    kubelet.start_seconds = kubelet.stop_seconds = 0.0
    controllers = Controllers(client, clock)
    await client.create(NAMESPACE, "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}})
    ready = [{"type": "Ready", "status": "True", "lastHeartbeatTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}]
    for node in nodes:
        await client.create(NODE, "", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
        await client.patch(NODE, "", node, {"status": {"conditions": ready}}, subresource="status")
    async with asyncio.TaskGroup() as group:
        running = [
            await tasks.start(group, "kubelet", kubelet.run),
            await tasks.start(group, "controllers", controllers.run),
        ]
        with measured(f"{count:,} Deployments x {replicas} pods converge", "≤ 20" if count >= 1000 else ""):
            for number in range(count):
                await client.create(DEPLOYMENT, "default", deployment(f"web-{number}", replicas, "web:1"))
            await available(client, replicas, count, 1)
        with measured(f"{max(1, count // 10):,} of them are rolled to another template"):
            for number in range(max(1, count // 10)):
                body = {"spec": deployment(f"web-{number}", replicas, "web:2")["spec"]}
                await client.patch(DEPLOYMENT, "default", f"web-{number}", body)
            await available(client, replicas, max(1, count // 10), 2)
        for task in running:
            await tasks.cancel(task)


@contextlib.contextmanager
def measured(what: str, aim: str = "") -> Iterator[None]:
    """Print the time and the CPU time of a block."""
    begun, cpu = time.perf_counter(), time.process_time()
    yield
    seconds, used = time.perf_counter() - begun, time.process_time() - cpu
    print(f"{what}: {seconds:.2f} s, cpu {used:.2f} s" + (f" (aim {aim} s)" if aim else ""), flush=True)


def days() -> None:
    """A day of one CronJob in virtual time: its Jobs, their pods and the history."""
    for words, schedule, aim in (("hourly", "0 * * * *", "≤ 1"), ("minutely", "* * * * *", "≤ 5")):
        with measured(f"a day of an {words} CronJob in virtual time".replace("an m", "a m"), aim):
            a_day_of(schedule)


def main() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    gc.set_threshold(*GC_THRESHOLDS)  # As the control process does.
    given = [int(text) for text in sys.argv[1:]]
    count, replicas = (given + [1000, 10][len(given) :])[:2]
    days()
    asyncio.run(converge(count, replicas))


if __name__ == "__main__":
    main()
