"""A container's start that is overtaken: it has ended, or its pod is deleted, before the runtime answers."""

import asyncio
from pathlib import Path

from knarr.base import tasks
from knarr.base.errors import DeadlineExceeded
from knarr.cri.memory import MemoryRuntime
from knarr.cri.messages.container import StartContainerRequest, StartContainerResponse
from knarr.cri.messages.enums import ContainerEventType, ContainerState
from knarr.cri.messages.sandbox import (
    ListPodSandboxRequest,
    ListPodSandboxResponse,
    PodSandboxStatus,
    RunPodSandboxRequest,
    RunPodSandboxResponse,
)
from knarr.kinds.core_pod import POD
from tests.simulation import virtual_time
from tests.unit.kubelet.harness import Node, running

START_SECONDS = 0.5
BEGUN = (ContainerEventType.CONTAINER_CREATED_EVENT, ContainerEventType.CONTAINER_STARTED_EVENT)


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


class Counts(MemoryRuntime):
    """How often pods were looked at. What a sandbox tells of its beginning comes before the answer, as over a socket,
    and is held back where `is_quiet`."""

    looks = 0
    is_quiet = False

    async def list_pod_sandbox(self, request: ListPodSandboxRequest) -> ListPodSandboxResponse:
        self.looks += 1
        return await super().list_pod_sandbox(request)

    async def run_pod_sandbox(self, request: RunPodSandboxRequest) -> RunPodSandboxResponse:
        await asyncio.sleep(START_SECONDS)
        answer = await super().run_pod_sandbox(request)
        await asyncio.sleep(START_SECONDS)
        return answer

    def _tell_of(self, identity: str, pod: PodSandboxStatus | None, event: ContainerEventType) -> None:
        if not (self.is_quiet and identity in self.sandboxes and event in BEGUN):
            super()._tell_of(identity, pod, event)


class MadeAfterAll(MemoryRuntime):
    """The first RunPodSandbox fails for who asked, and yet its sandbox is there START_SECONDS later."""

    late: asyncio.Task[None] | None = None

    async def run_pod_sandbox(self, request: RunPodSandboxRequest) -> RunPodSandboxResponse:
        if self.late is None:
            self.late = asyncio.create_task(self._make(request))
            raise DeadlineExceeded("too late")
        return await super().run_pod_sandbox(request)

    async def _make(self, request: RunPodSandboxRequest) -> None:
        await asyncio.sleep(START_SECONDS)
        await super().run_pod_sandbox(request)


def test_a_sandbox_that_tells_of_its_beginning_costs_no_further_look(tmp_path: Path) -> None:
    async def looks(*, is_quiet: bool) -> int:
        node = Node(tmp_path / str(is_quiet))
        runtime = Counts(node.clock)
        runtime.is_quiet = is_quiet
        node.runtime = runtime
        async with running(node):
            await node.create("web", {})
            await node.reached("web", "Running", seconds=2)
            await asyncio.sleep(2 * START_SECONDS)
            return runtime.looks

    assert virtual_time.run(looks(is_quiet=False)) == virtual_time.run(looks(is_quiet=True))


def test_a_sandbox_that_comes_after_its_start_had_failed_is_found_by_what_it_tells(tmp_path: Path) -> None:
    async def told() -> None:
        node = Node(tmp_path)
        node.runtime = MadeAfterAll(node.clock)
        async with running(node):
            await node.create("web", {})
            await node.reached("web", "Running", seconds=START_SECONDS + 0.3)

    virtual_time.run(told())


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
