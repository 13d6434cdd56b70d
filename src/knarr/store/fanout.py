"""Fan-out: hands every change to the watchers of its prefix. The writer never waits for a watcher.

A watcher has a queue with a bound; past it the watcher ends with Expired and its reader must list again.
Not here: which changes a watcher starts with (history.py), encoding (apiserver/verbs/watch.py).
"""

import asyncio
import itertools
from collections import deque
from collections.abc import Iterable

from knarr.base.errors import Expired
from knarr.store.history import Step
from knarr.store.store import Change

FOLDERS_MAX = 4096
QUEUE_MAX = 16384
"""Changes that may wait for one reader: at 500 changes/s half a minute of silence."""


class QueueWatcher:
    """One reader of one prefix. Single consumer; everything happens on the loop's thread."""

    def __init__(self, fanout: "Fanout", prefix: str, backlog: Iterable[Change]) -> None:
        self.prefix = prefix
        self._fanout = fanout
        self._queue = deque(backlog)
        self._limit = len(self._queue) + fanout.queue_max
        self._waiter: asyncio.Future[None] | None = None
        self._end: Exception | None = None

    def __aiter__(self) -> "QueueWatcher":
        return self

    async def __anext__(self) -> Change:
        while not self._queue:
            await self._wait()
        return self._queue.popleft()

    async def batch(self) -> list[Change]:
        """All changes that wait, at least one; [] after a nudge. Raises as iteration does."""
        if not self._queue:
            await self._wait()
        return self.take()

    def take(self) -> list[Change]:
        """All changes that wait now, perhaps none. Raises as iteration does."""
        if not self._queue:
            if self._end is not None:
                raise self._end
            return []
        changes = list(self._queue)
        self._queue.clear()
        return changes

    async def _wait(self) -> None:
        if self._end is not None:
            raise self._end
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if not self._queue and self._end is not None:
            raise self._end

    def nudge(self) -> None:
        """Let a waiting `batch` return without a change."""
        self._wake()

    def put(self, change: Change) -> None:
        """Called by the fan-out only."""
        if len(self._queue) >= self._limit:
            self._queue.clear()
            self._finish(Expired("the watcher fell behind and lost changes: list again"))
            return
        self._queue.append(change)
        self._wake()

    def close(self) -> None:
        self._queue.clear()
        self._finish(StopAsyncIteration())

    def expire(self, message: str) -> None:
        """End after the changes that wait, with Expired."""
        self._finish(Expired(message))

    def _finish(self, end: Exception) -> None:
        if self._end is None:
            self._end = end
            self._fanout.forget(self)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Fanout:
    """The watchers by prefix."""

    def __init__(self, queue_max: int = QUEUE_MAX) -> None:
        self.queue_max = queue_max
        self._watchers: dict[str, list[QueueWatcher]] = {}
        self._odd: dict[str, list[QueueWatcher]] = {}
        """Those of prefixes that do not end with a slash."""
        self._found: dict[str, tuple[QueueWatcher, ...]] = {}

    def watcher(self, prefix: str, backlog: Iterable[Change]) -> QueueWatcher:
        watcher = QueueWatcher(self, prefix, backlog)
        self._of(prefix).setdefault(prefix, []).append(watcher)
        self._found.clear()
        return watcher

    def forget(self, watcher: QueueWatcher) -> None:
        """Drop the watcher; forgetting twice is no fault."""
        kept = self._of(watcher.prefix)
        watchers = kept.get(watcher.prefix, [])
        if watcher in watchers:
            watchers.remove(watcher)
        if not watchers:
            kept.pop(watcher.prefix, None)
        self._found.clear()

    def _of(self, prefix: str) -> dict[str, list[QueueWatcher]]:
        return self._watchers if prefix.endswith("/") else self._odd

    def publish(self, made: Step) -> None:
        watchers = self.concerned(made.key)
        if watchers:
            change = made.change
            for watcher in watchers:
                watcher.put(change)

    def concerned(self, key: str) -> tuple[QueueWatcher, ...]:
        """The watchers of a key. A cluster watches fifty kinds and a key is of one, so what was found for a folder is
        kept until the watchers change."""
        folder = key[: key.rfind("/") + 1]
        found = self._found.get(folder)
        if found is None:
            if len(self._found) >= FOLDERS_MAX:
                self._found.clear()
            found = self._found[folder] = tuple(
                watcher
                for prefix, watchers in self._watchers.items()
                if folder.startswith(prefix)
                for watcher in watchers
            )
        if self._odd:
            odd = (watchers for prefix, watchers in self._odd.items() if key.startswith(prefix))
            found = (*found, *itertools.chain.from_iterable(odd))
        return found

    def close(self) -> None:
        for watchers in (*self._watchers.values(), *self._odd.values()):
            for watcher in tuple(watchers):
                watcher.expire("the store was closed")
