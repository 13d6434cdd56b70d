"""Tasks: named, owned by a TaskGroup, ended on request.

A part that runs for ever is `async def run(self, ready: Ready) -> None`; it calls `ready()` once it serves and
returns only when cancelled. `race` and `deadline` keep waits bounded.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

from knarr.base.errors import DeadlineExceeded
from knarr.base.logs import fields, log

T = TypeVar("T")
P = ParamSpec("P")
Ready = Callable[[], None]


async def deadline(awaitable: Awaitable[T], seconds: float, what: str) -> T:
    """The awaitable's result, or DeadlineExceeded naming `what` after that many seconds."""
    try:
        async with asyncio.timeout(seconds):
            return await awaitable
    except TimeoutError as error:
        raise DeadlineExceeded(f"{what}: no answer within {seconds:g} s") from error


async def start(
    group: asyncio.TaskGroup, name: str, run: Callable[[Ready], Coroutine[Any, Any, None]]
) -> asyncio.Task[None]:
    """Start `run` in the group and return once it reported ready; its failure is raised here if it comes first."""
    ready = asyncio.get_running_loop().create_future()

    def report() -> None:
        if not ready.done():
            ready.set_result(None)

    task = group.create_task(run(report), name=name)
    await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    if not ready.done():
        ready.cancel()
        task.result()
        raise RuntimeError(f"{name} returned before it was ready")
    return task


async def cancel(task: "asyncio.Task[Any]") -> None:
    """Cancel a task and wait until it has cleaned up; its own errors are raised."""
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise


async def whole(act: Coroutine[Any, Any, T], name: str) -> T:
    """The act's result; it runs to its end even if the caller is cancelled, and then its failure is logged."""
    task = asyncio.create_task(act, name=name)
    _acts.add(task)
    task.add_done_callback(_acts.discard)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.cancelled():
            task.add_done_callback(_log_failure)
        raise


async def in_thread(act: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """The act's result, from a worker thread. Whoever is cancelled waits until the thread has ended.

    A thread cannot be stopped: without the wait it would go on writing where its caller has already cleaned up.
    """
    return await to_its_end(asyncio.to_thread(act, *arguments, **named))


async def to_its_end(act: Coroutine[Any, Any, T]) -> T:
    """The act's result; whoever is cancelled waits for its end first, to clean up after the whole of it."""
    task = asyncio.create_task(act)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()
        raise


def _log_failure(task: "asyncio.Task[Any]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log("tasks").warning("failed after its caller gave up %s", fields(task=task.get_name(), error=error))


_acts: set["asyncio.Task[Any]"] = set()
"""Held here, since the loop itself holds tasks only weakly."""
