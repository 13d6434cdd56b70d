"""A hundred streams at once leave nothing in the servers' process: no descriptor, no task, no thread."""

import asyncio
import os
import threading
from pathlib import Path

from tests.conformance.streamers import Streamers
from tests.conformance.streams_stage import stage

SECONDS = float(os.environ.get("KNARR_STREAM_SECONDS", "2"))
SETTLED_SECONDS = 15.0


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((await reader.readline()).upper())
    await writer.drain()
    writer.close()


def held() -> dict[str, int]:
    """What this process holds: servers and clients alike."""
    return {
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
    }


async def test_a_hundred_streams_at_once_leave_nothing(tmp_path: Path) -> None:
    listener = await asyncio.start_server(shout, "127.0.0.1", 0, backlog=256)
    port = listener.sockets[0].getsockname()[1]
    async with stage(tmp_path, is_in_process=True) as running:
        running.log.write_text("2026-01-01T00:00:00.1+00:00 stdout F line 1\n")
        streamers = Streamers(running.url, "web", "c", port, b"abc\n", b"ABC\n")
        await streamers.run(20, 0.2)  # what the first use of anything makes stays
        before = await settled(None)
        await streamers.run(100, SECONDS)
        after = await settled(before)
    listener.close()
    await listener.wait_closed()
    assert all(count > 0 for count in streamers.done.values())
    assert len(streamers.done) == 5
    assert {what: after[what] <= before[what] for what in before} == dict.fromkeys(before, True), (before, after)


async def settled(wanted: dict[str, int] | None) -> dict[str, int]:
    """What is held once it is no more than wanted, or once it stays the same for a second."""
    end = asyncio.get_running_loop().time() + SETTLED_SECONDS
    seen, same = held(), 0
    while asyncio.get_running_loop().time() < end:
        if wanted is not None and all(seen[what] <= wanted[what] for what in wanted):
            break
        await asyncio.sleep(0.1)  # descriptors close in the loop's own time, and nobody tells
        now = held()
        seen, same = now, same + 1 if now == seen else 0
        if wanted is None and same >= 10:
            break
    return seen
