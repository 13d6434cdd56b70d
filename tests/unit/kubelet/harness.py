"""A kubelet over the API and the runtime in memory, in virtual time: one node, `n1`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from knarr.base import tasks
from knarr.base.clock import LoopClock
from knarr.base.errors import NotFound
from knarr.cri.memory import MemoryImages, MemoryRuntime, Script
from knarr.kinds.core_config import EVENT, NAMESPACE
from knarr.kinds.core_pod import POD
from knarr.kubelet import kubelet
from knarr.kubelet.kubelet import Kubelet
from knarr.kubelet.settings import KubeletSettings
from tests.simulation import virtual_time
from tests.unit.kubelet.node_api import NodeApi

Json = dict[str, Any]
START = datetime(2030, 1, 1, tzinfo=UTC)


async def at_once(work: Callable[[], None]) -> None:
    work()


class Node:
    """What a test holds: the client, the runtime in memory and the kubelet, which may be started again."""

    def __init__(self, root: Path) -> None:
        self.clock = LoopClock(START)
        self.client = NodeApi(self.clock)
        self.runtime = MemoryRuntime(self.clock)
        self.images = MemoryImages(present=("web:v1", "web:v2"), pullable=("far:v1",))
        self.settings = KubeletSettings(
            node_name="n1",
            root_dir=root / "kubelet",
            pod_log_dir=root / "logs",
            static_pod_dir=root / "manifests",
            thresholds=(),  # what is short on the machine that runs the tests is not their affair
        )
        self.kubelet: Kubelet
        self._running: list[asyncio.Task[None]] = []

    async def start(self, group: asyncio.TaskGroup) -> None:
        self.kubelet = Kubelet(self.client, self.runtime, self.images, self.settings, self.clock, aside=at_once)
        self._running.append(await tasks.start(group, "kubelet", self.kubelet.run))

    async def stop(self) -> None:
        while self._running:
            await tasks.cancel(self._running.pop())

    async def create(self, name: str, spec: Json, **metadata: Any) -> Json:
        """A pod bound to this node; `spec` is completed with one container of image web:v1 if it has none."""
        spec = {"containers": [{"name": "c", "image": "web:v1"}], "nodeName": "n1", **spec}
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            container.setdefault("image", "web:v1")
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **metadata}, "spec": spec}
        return await self.client.create(POD, "default", body)

    async def pod(self, name: str) -> Json:
        return await self.client.get(POD, "default", name)

    async def status(self, name: str) -> Json:
        status: Json = (await self.pod(name)).get("status", {})
        return status

    async def until(self, what: Callable[[], Awaitable[Any]], seconds: float = 60.0) -> Any:
        """The first truthy answer; virtual time passes in steps of 10 ms."""
        end = self.clock.now().timestamp() + seconds
        while not (answer := await what()):
            assert self.clock.now().timestamp() < end, "it never came true"
            await asyncio.sleep(0.01)
        return answer

    async def reached(self, name: str, phase: str, seconds: float = 60.0) -> Json:
        async def there() -> Json | None:
            status = await self.status(name)
            return status if status.get("phase") == phase else None

        status: Json = await self.until(there, seconds)
        return status

    async def ready(self, name: str) -> bool:
        return condition(await self.status(name), "Ready").get("status") == "True"

    async def is_absent(self, name: str) -> bool:
        try:
            await self.pod(name)
        except NotFound:
            return True
        return False

    async def events(self) -> list[tuple[str, str]]:
        """(reason, message) of all events, in order."""
        await asyncio.sleep(0.05)
        found = [msgspec.json.decode(item) for item in (await self.client.list(EVENT, "default")).items]
        found.sort(key=lambda event: int(event["metadata"]["resourceVersion"]))
        return [(event["reason"], event["message"]) for event in found]

    def script(self, container: str, **does: Any) -> None:
        self.runtime.scripts[container] = Script(**does)


def condition(status: Json, name: str) -> Json:
    return next((c for c in status.get("conditions", ()) if c["type"] == name), {})


@contextlib.asynccontextmanager
async def running(node: Node) -> AsyncIterator[asyncio.TaskGroup]:
    """The node with its kubelet started and the namespaces that it needs."""
    for name in ("default", "kube-node-lease"):
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await node.client.create(NAMESPACE, "", body)
    async with asyncio.TaskGroup() as group:
        await node.start(group)
        try:
            yield group
        finally:
            await node.stop()
            kubelet.unmount_all(node.settings)


def run(root: Path, story: Callable[[Node, asyncio.TaskGroup], Awaitable[None]]) -> None:
    """Tell a story in virtual time."""

    async def told() -> None:
        node = Node(root)
        async with running(node) as group:
            await story(node, group)

    virtual_time.run(told())
