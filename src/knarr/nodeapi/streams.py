"""Answers that come line by line while work goes on: what `report` is told, then the result or the error.

The work is a task of its own; when the reader goes away it is cancelled and has cleaned up before the stream ends.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from knarr.base import logs, tasks
from knarr.base.errors import KnarrError
from knarr.nodeapi.messages import line

WAITING_MAX = 4 << 20
"""Bytes that may wait for a slow reader; above it output is dropped, and the reader is told."""
_log = logs.log("nodeapi")
Say = Callable[..., None]
Work = Callable[[Say], Awaitable[dict[str, Any]]]


def error_fields(error: KnarrError) -> dict[str, Any]:
    fields: dict[str, Any] = {"error": type(error).__name__, "message": str(error)}
    if hasattr(error, "exit_code"):
        fields["exit_code"] = error.exit_code
    return fields


async def lines(name: str, work: Work) -> AsyncIterator[bytes]:
    """What `work` says, each as a JSON line; the last has `result` or `error`."""
    queue: asyncio.Queue[bytes | None] = asyncio.Queue()
    dropped = waiting = 0

    def say(**fields: Any) -> None:
        nonlocal dropped, waiting
        encoded = line(**fields)
        if "output" in fields and waiting + len(encoded) > WAITING_MAX:
            dropped += 1
        else:
            waiting += len(encoded)
            queue.put_nowait(encoded)

    async def run() -> None:
        try:
            result = await work(say)
            if dropped:
                queue.put_nowait(line(warning=f"{dropped} pieces of output were dropped: the terminal was too slow"))
            queue.put_nowait(line(result=result))
        except KnarrError as error:
            queue.put_nowait(line(**error_fields(error)))
        except Exception:
            _log.exception("failed %s", logs.fields(work=name))
            queue.put_nowait(line(error="KnarrError", message=f"{name} failed inside knarr; see: knarr logs node"))
        finally:
            queue.put_nowait(None)

    task = asyncio.create_task(run(), name=name)
    try:
        while (item := await queue.get()) is not None:
            # What waits already goes out together.
            batch = [item]
            while not queue.empty() and (more := queue.get_nowait()) is not None:
                batch.append(more)
            joined = b"".join(batch)
            waiting -= len(joined)
            yield joined
            if task.done() and queue.empty():
                break
    finally:
        if not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await tasks.cancel(task)
