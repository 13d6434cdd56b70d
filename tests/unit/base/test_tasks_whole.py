"""Acts and threads that run to their end although their caller gave up."""

import asyncio
import threading

import pytest

from knarr.base import tasks


async def test_an_act_ends_although_its_caller_was_cancelled() -> None:
    go, done = asyncio.Event(), asyncio.Event()

    async def act() -> None:
        await go.wait()
        done.set()

    caller = asyncio.create_task(tasks.whole(act(), "act"))
    await asyncio.wait({caller}, timeout=0)
    await asyncio.wait({caller}, timeout=0.01)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go.set()
    await asyncio.wait_for(done.wait(), 5)


async def test_its_result_and_its_failure_are_the_callers() -> None:
    async def fails() -> int:
        raise ZeroDivisionError

    async def answers() -> int:
        return 5

    assert await tasks.whole(answers(), "act") == 5
    with pytest.raises(ZeroDivisionError):
        await tasks.whole(fails(), "act")


async def test_whoever_is_cancelled_waits_for_the_thread() -> None:
    began, go, ended = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def act() -> None:
        loop.call_soon_threadsafe(began.set)
        go.wait(5)
        ended.set()

    caller = asyncio.create_task(tasks.in_thread(act))
    await began.wait()
    caller.cancel()
    assert not (await asyncio.wait({caller}, timeout=0.01))[0]
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended.is_set()


async def test_whoever_is_cancelled_cleans_up_after_the_whole_act() -> None:
    go, order = asyncio.Event(), list[str]()

    async def act() -> None:
        await go.wait()
        order.append("made")

    async def caller() -> None:
        try:
            await tasks.to_its_end(act())
        finally:
            order.append("cleaned up")

    task = asyncio.create_task(caller())
    await asyncio.wait({task}, timeout=0.01)
    task.cancel()
    await asyncio.wait({task}, timeout=0.01)
    assert order == []
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert order == ["made", "cleaned up"]
