"""Who follows a log is told of its container's end by the one stream of events, whatever else is lost."""

import asyncio
from datetime import UTC, datetime

from knarr.base.clock import LoopClock
from knarr.base.errors import Unavailable
from knarr.cri.memory import MemoryRuntime
from knarr.cri.messages.config import ContainerConfig
from knarr.cri.messages.container import (
    ContainerStatusRequest,
    ContainerStatusResponse,
    CreateContainerRequest,
    RemoveContainerRequest,
    StartContainerRequest,
    StopContainerRequest,
)
from knarr.cri.messages.sandbox import RunPodSandboxRequest
from knarr.kubelet.ends import ASK_AGAIN_SECONDS, Ends
from tests.simulation import virtual_time


class Shy(MemoryRuntime):
    """Cannot be asked for a while."""

    is_away = False

    async def container_status(self, request: ContainerStatusRequest) -> ContainerStatusResponse:
        if self.is_away:
            raise Unavailable("away")
        return await super().container_status(request)


async def started() -> tuple[Shy, str]:
    runtime = Shy(LoopClock(datetime(2030, 1, 1, tzinfo=UTC)))
    box = (await runtime.run_pod_sandbox(RunPodSandboxRequest())).pod_sandbox_id
    request = CreateContainerRequest(pod_sandbox_id=box, config=ContainerConfig())
    container = (await runtime.create_container(request)).container_id
    await runtime.start_container(StartContainerRequest(container_id=container))
    return runtime, container


async def is_over(waiting: "asyncio.Task[None]") -> bool:
    await asyncio.sleep(0.01)
    return waiting.done()


def test_two_who_wait_hear_of_an_end_and_of_nothing_else() -> None:
    async def told() -> None:
        runtime, container = await started()
        ends = Ends()
        waiting = [asyncio.create_task(ends.wait(runtime, container)) for _ in range(2)]
        ends.heard("another")
        ends.heard(container)
        assert [await is_over(one) for one in waiting] == [False, False]
        await runtime.stop_container(StopContainerRequest(container_id=container, timeout=1))
        assert [await is_over(one) for one in waiting] == [False, False], "nobody has said so yet"
        ends.heard(container)
        assert [await is_over(one) for one in waiting] == [True, True]
        assert await is_over(asyncio.create_task(ends.wait(runtime, container))), "it is over already"

    virtual_time.run(told())


def test_an_end_while_the_runtime_could_not_be_asked_is_found_after_the_gap() -> None:
    async def told() -> None:
        runtime, container = await started()
        ends = Ends()
        runtime.is_away = True
        waiting = asyncio.create_task(ends.wait(runtime, container))
        assert not await is_over(waiting)
        await runtime.remove_container(RemoveContainerRequest(container_id=container))
        runtime.is_away = False
        ends.look()
        assert await is_over(waiting)

    virtual_time.run(told())


def test_an_end_is_found_when_the_one_question_after_its_event_failed() -> None:
    async def told() -> None:
        runtime, container = await started()
        ends = Ends()
        waiting = asyncio.create_task(ends.wait(runtime, container))
        assert not await is_over(waiting)
        await runtime.stop_container(StopContainerRequest(container_id=container, timeout=1))
        runtime.is_away = True
        ends.heard(container)
        assert not await is_over(waiting)
        runtime.is_away = False
        await asyncio.wait_for(waiting, 2 * ASK_AGAIN_SECONDS)  # nobody says anything more

    virtual_time.run(told())
