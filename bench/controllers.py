"""How fast the controllers are: N Deployments of M simulated pods each, from creation until all are available.

Over the API server in process and a memory store; pods are bound and started by a simulated kubelet at once.
    PYTHONPATH=src:. python bench/controllers.py [deployments] [replicas]
The aim (1,000 x 10 in 20 s on one core) counts everything: API, store, controllers and the simulated node.
"""

import asyncio
import sys
import time
from datetime import UTC, datetime

import msgspec

from knarr.apiserver.context import User
from knarr.apiserver.pipeline import Pipeline
from knarr.apiserver.server import ApiServer
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


async def main(count: int, replicas: int) -> None:
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
        for verb, image, generation in (("create", "web:1", 1), ("update", "web:2", 2)):
            begun, cpu = time.perf_counter(), time.process_time()
            for number in range(count):
                body = deployment(f"web-{number}", replicas, image)
                if verb == "create":
                    await client.create(DEPLOYMENT, "default", body)
                else:
                    await client.patch(DEPLOYMENT, "default", f"web-{number}", {"spec": body["spec"]})
            await available(client, replicas, count, generation)
            seconds, used = time.perf_counter() - begun, time.process_time() - cpu
            print(f"{verb}: {count} x {replicas} pods: {seconds:.2f} s, cpu {used:.2f} s")
        for task in running:
            await tasks.cancel(task)


if __name__ == "__main__":
    arguments = [int(text) for text in sys.argv[1:]]
    asyncio.run(main(*(arguments + [20, 10][len(arguments) :])))
