"""WorkQueue: which keys are due, which are being worked on, and which come due later.

A key is worked on by one task at a time; being added while it is worked on makes it due again afterwards. Keys that
are added many times before their turn have one turn. Not here: what the work is (runner.py, garbage.py).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from knarr.base.exposition import Histogram
from knarr.base.tasks import Ready

K = TypeVar("K", bound=Hashable)

CONCURRENCY: Final = 32
"""Keys worked on at once: enough to fill the store's group commit, few enough to leave the loop to others."""


class Figures:
    """What a queue counted: keys that came due, those that were tried again, how long they waited and took."""

    __slots__ = ("added", "retried", "took", "waited")

    def __init__(self) -> None:
        self.added = 0
        self.retried = 0
        self.waited = Histogram()
        self.took = Histogram()


class WorkQueue(Generic[K]):
    """`work` must not raise: an error that reaches the queue is a bug and ends it."""

    def __init__(self, name: str, work: Callable[[K], Awaitable[None]], concurrency: int = CONCURRENCY) -> None:
        self._name = name
        self._work = work
        self._concurrency = concurrency
        self.figures = Figures()
        self._due: dict[K, float] = {}
        """Since when, by a monotonic clock."""
        self._running: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._wake = asyncio.Event()

    @property
    def is_idle(self) -> bool:
        """Nothing is due or running; timers may stand."""
        return not self._due and not self._running

    @property
    def depth(self) -> int:
        """Keys that are due and have not begun."""
        return len(self._due)

    @property
    def running(self) -> int:
        """Keys that are worked on."""
        return len(self._running)

    def add(self, key: K) -> None:
        """The key is due now."""
        if key not in self._due:
            self._due[key] = time.perf_counter()
            self.figures.added += 1
        self._wake.set()

    def add_after(self, key: K, seconds: float) -> None:
        """The key comes due in so many seconds, unless an earlier timer of it stands."""
        loop = asyncio.get_running_loop()
        at = loop.time() + max(0.0, seconds)
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= at:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(at, self._expire, key)

    def forget(self, key: K) -> None:
        """The key's object is gone: drop its timer."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    async def run(self, ready: Ready) -> None:
        """Work until cancelled."""
        ready()
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await self._wake.wait()
                    self._wake.clear()
                    for key in self._startable():
                        self.figures.waited.observe(time.perf_counter() - self._due.pop(key))
                        self._running.add(key)
                        group.create_task(self._one(key), name=f"{self._name} {key}")
        finally:
            for timer in self._timers.values():
                timer.cancel()
            self._timers.clear()

    def _startable(self) -> list[K]:
        free = self._concurrency - len(self._running)
        found: list[K] = []
        for key in self._due:
            if len(found) >= free:
                break
            if key not in self._running:
                found.append(key)
        return found

    async def _one(self, key: K) -> None:
        began = time.perf_counter()
        try:
            await self._work(key)
        finally:
            self.figures.took.observe(time.perf_counter() - began)
            self._running.discard(key)
            if self._due:
                self._wake.set()

    def _expire(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)
