"""A container's start that is overtaken: it has ended, or its pod is deleted, before the runtime answers."""

import asyncio
from pathlib import Path

from knarr.base import tasks
from knarr.cri.memory import MemoryRuntime
from knarr.cri.messages.container import StartContainerRequest, StartContainerResponse
from knarr.cri.messages.enums import ContainerState
from knarr.kinds.core_pod import POD
from tests.simulation import virtual_time
from tests.unit.kubelet.harness import Node, running

START_SECONDS = 0.5


class ExitsFirst(MemoryRuntime):
    """The container is over before StartContainer answers."""

    async def start_container(self, request: StartContainerRequest) -> StartContainerResponse:
        return await tasks.whole(self._start(request), "StartContainer")

    async def _start(self, request: StartContainerRequest) -> StartContainerResponse:
        answer = await super().start_container(request)
        self.exit(request.container_id)
        await asyncio.sleep(START_SECONDS)
        return answer


class StartsLate(MemoryRuntime):
    """StartContainer takes its time, and goes on when nobody waits for it any more. `codes`: how containers ended."""

    codes: tuple[int, ...] = ()

    async def start_container(self, request: StartContainerRequest) -> StartContainerResponse:
        return await tasks.whole(self._start(request), "StartContainer")

    async def _start(self, request: StartContainerRequest) -> StartContainerResponse:
        await asyncio.sleep(START_SECONDS)
        return await super().start_container(request)

    def exit(self, container_id: str, code: int = 0, *, reason: str = "") -> None:
        if self.containers[container_id].status.state == ContainerState.CONTAINER_RUNNING:
            self.codes += (code,)
        super().exit(container_id, code, reason=reason)


def test_a_container_that_ends_before_its_start_is_answered_was_started(tmp_path: Path) -> None:
    async def told() -> None:
        node = Node(tmp_path)
        node.runtime = ExitsFirst(node.clock)
        async with running(node):
            await node.create("web", {"restartPolicy": "Never"})
            await node.reached("web", "Succeeded", seconds=2)
            assert [reason for reason, _ in await node.events()][-3:] == ["Pulled", "Created", "Started"]

    virtual_time.run(told())


def test_a_pod_deleted_while_its_container_starts_gives_it_its_grace(tmp_path: Path) -> None:
    async def told() -> None:
        node = Node(tmp_path)
        runtime = StartsLate(node.clock)
        node.runtime = runtime
        async with running(node):
            await node.create("web", {})
            await asyncio.sleep(START_SECONDS / 2)
            await node.client.delete(POD, "default", "web")
            await node.until(lambda: node.is_absent("web"), seconds=5)
            assert runtime.codes == (143,)

    virtual_time.run(told())
