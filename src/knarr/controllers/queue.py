"""WorkQueue: which keys are due, which are being worked on, and which come due later.

A key is worked on by one task at a time; being added while it is worked on makes it due again afterwards. Keys that
are added many times before their turn have one turn. Not here: what the work is (runner.py, garbage.py).
"""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from knarr.base.tasks import Ready

K = TypeVar("K", bound=Hashable)

CONCURRENCY: Final = 32
"""Keys worked on at once: enough to fill the store's group commit, few enough to leave the loop to others."""


class WorkQueue(Generic[K]):
    """`work` must not raise: an error that reaches the queue is a bug and ends it."""

    def __init__(self, name: str, work: Callable[[K], Awaitable[None]], concurrency: int = CONCURRENCY) -> None:
        self._name = name
        self._work = work
        self._concurrency = concurrency
        self._due: dict[K, None] = {}
        self._running: set[K] = set()
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._wake = asyncio.Event()

    @property
    def is_idle(self) -> bool:
        """Nothing is due or running; timers may stand."""
        return not self._due and not self._running

    def add(self, key: K) -> None:
        """The key is due now."""
        self._due[key] = None
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
                        del self._due[key]
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
        try:
            await self._work(key)
        finally:
            self._running.discard(key)
            if self._due:
                self._wake.set()

    def _expire(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)
