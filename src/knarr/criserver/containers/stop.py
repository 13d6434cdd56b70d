"""StopContainer: the stop signal, the grace period, then SIGKILL. Stopping what has stopped succeeds."""

import asyncio
import signal
from typing import Final

from knarr.base import tasks
from knarr.base.errors import NotFound
from knarr.cri.messages.container import StopContainerRequest, StopContainerResponse
from knarr.criserver.containers import start
from knarr.criserver.node import Node
from knarr.criserver.records import ContainerRecord

KILL_SECONDS: Final = 30.0


async def stop(node: Node, request: StopContainerRequest) -> StopContainerResponse:
    record = node.containers.find(request.container_id)
    if record is not None and record.id in node.locks:
        async with node.locks[record.id]:  # a start under way ends first: it would outlive its stop
            record = node.containers.find(record.id)
    if record is not None and record.started_at and record.ended is None:
        if request.timeout > 0 and await _ends_after(node, record, record.stop_signal, float(request.timeout)):
            return StopContainerResponse()
        await kill(node, record)
    return StopContainerResponse()


async def kill(node: Node, record: ContainerRecord) -> None:
    """SIGKILL at once, and wait until it is gone. A start under way ends first."""
    async with node.locks[record.id]:
        record = node.containers.find(record.id) or record
    if record.started_at and record.ended is None:
        await tasks.deadline(
            _ends_after(node, record, signal.SIGKILL, KILL_SECONDS), KILL_SECONDS, f"container {record.id}: kill"
        )
        node.cgroups.kill(record.cgroup_path)


async def _ends_after(node: Node, record: ContainerRecord, number: int, seconds: float) -> bool:
    """Send the signal; True if the container ends within that time."""
    try:
        await node.runtime.signal(record.id, number)
        async with asyncio.timeout(seconds):
            ended = await node.runtime.wait(record.id)
    except TimeoutError:
        return False
    except NotFound:
        return True
    await start.note_end(node, record.id, ended)
    return True
