"""The work queue: one turn at a time per key, none lost."""

import asyncio

from knarr.base import tasks
from knarr.controllers.queue import WorkQueue
from tests.simulation import virtual_time


def test_a_key_added_while_it_is_worked_on_has_another_turn_and_only_one() -> None:
    async def main() -> None:
        turns: list[str] = []

        async def work(key: str) -> None:
            turns.append(key)
            await asyncio.sleep(1)

        queue: WorkQueue[str] = WorkQueue("test", work)
        async with asyncio.TaskGroup() as group:
            task = await tasks.start(group, "queue", queue.run)
            for _ in range(5):
                queue.add("a")
            await asyncio.sleep(0.5)
            for _ in range(5):
                queue.add("a")
            await asyncio.sleep(0.4)
            assert turns == ["a"]
            assert not queue.is_idle
            await asyncio.sleep(5)
            assert turns == ["a", "a"]
            assert queue.is_idle
            await tasks.cancel(task)

    virtual_time.run(main())


def test_the_earliest_timer_of_a_key_counts_and_concurrency_is_bounded() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        started: list[tuple[float, int]] = []
        running = 0

        async def work(_key: str) -> None:
            nonlocal running
            running += 1
            started.append((round(loop.time(), 3), running))
            await asyncio.sleep(1)
            running -= 1

        queue: WorkQueue[str] = WorkQueue("test", work, concurrency=2)
        async with asyncio.TaskGroup() as group:
            task = await tasks.start(group, "queue", queue.run)
            queue.add_after("a", 10)
            queue.add_after("a", 2)
            queue.add_after("a", 5)
            await asyncio.sleep(4)
            for key in "bcd":
                queue.add(key)
            await asyncio.sleep(20)
            await tasks.cancel(task)
        assert started == [(2.0, 1), (4.0, 1), (4.0, 2), (5.0, 1)]

    virtual_time.run(main())
