"""The durable store: History for reading, Journal for writing.

A write checks its expectation against what is queued, takes the next revision and waits for the journal's answer;
only then do readers and watchers see it, in revision order. Runs on one loop; only the journal has another thread.
All writes of one turn of the loop are handed over together; a lone one is committed at once (pace.py).
"""

import asyncio
import contextlib
import time
from collections import deque
from pathlib import Path

from knarr.base.errors import Conflict, NotFound
from knarr.base.ids import Revision
from knarr.store import reserve
from knarr.store.fanout import QUEUE_MAX, Fanout, QueueWatcher
from knarr.store.history import WINDOW_MAX, History, Step
from knarr.store.journal import DiskFull, Journal, Row, replayed, step_row
from knarr.store.memory import step
from knarr.store.pace import Pace
from knarr.store.reserve import Reserve
from knarr.store.sealing import Sealer
from knarr.store.store import Entry, Listing

COMPACT_EVERY = 5000
"""The file is compacted to the window after that many writes."""


class SqliteStore:
    """store.Store in one SQLite file; needs a running loop."""

    def __init__(
        self,
        path: Path,
        *,
        window_max: int = WINDOW_MAX,
        queue_max: int = QUEUE_MAX,
        sealer: Sealer | None = None,
        reserve_bytes: int = 0,
    ) -> None:
        self._history = History(window_max)
        self._fanout = Fanout(queue_max)
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[Step, asyncio.Future[None]]] = deque()
        self._journal = Journal(path, self._committed)
        self._reserve = Reserve(path.with_name(path.name + ".reserve"), reserve_bytes)
        self._sealer = sealer
        self._pace = Pace()
        self._turn: list[Row] = []
        self._is_turn_begun = False
        try:
            rows, compacted = self._journal.rows()
            if sealer is not None:
                rows = [(row[0], row[1], sealer.open(row[1], row[2]), row[3], row[4]) for row in rows]
            entries, steps, self._deleted = replayed(rows, compacted)
        except BaseException:
            self._journal.close()
            raise
        self._history.load(entries, compacted)
        for past in steps:
            self._history.apply(past)
        self._next = self._history.revision + 1
        self._queued: dict[str, Step] = {}
        self._followers: dict[Revision, list[asyncio.Future[None]]] = {}
        self._since_compaction = len(rows) - len(entries)
        self._closed = False
        self._refusal: Exception | None = None

    @property
    def revision(self) -> Revision:
        return self._history.revision

    def trouble(self) -> str | None:
        """Why nothing can be written now, in words; None when all is well."""
        if self._reserve.is_given_up:
            return reserve.TEXT
        return None if self._refusal is None else str(self._refusal)

    def get(self, key: str, at: Revision | None = None) -> Entry | None:
        return self._history.get(key, at)

    def list(self, prefix: str, *, at: Revision | None = None, after: str = "", limit: int = 0) -> Listing:
        return self._history.list(prefix, at, after, limit)

    async def write(self, key: str, value: bytes | None, *, expect: Revision | None) -> Revision:
        if self._refusal is not None:
            raise self._refusal
        if self._reserve.is_given_up and not self._reserve.allows(value):
            raise DiskFull(reserve.TEXT)
        queued = self._queued.get(key)
        before = self._history.current(key) if queued is None else queued.entry
        try:
            made = step(key, value, before, expect, Revision(self._next))
        except (Conflict, NotFound):
            # The caller will read again: let it find what it lost against.
            if queued is not None:
                await self._until_settled(queued)
            raise
        self._next += 1
        row = self._row(made, queued)
        if self._pace.is_alone(0 if value is None else len(value), others=bool(self._waiting) or self._is_turn_begun):
            self._begin_turn()
            if self._commit_here(made, row):
                return made.revision
        self._begin_turn()
        durable: asyncio.Future[None] = self._loop.create_future()
        self._queued[key] = made
        self._waiting.append((made, durable))
        self._turn.append(row)
        await durable  # it is this caller's alone: a cancelled one takes nothing away from others
        return made.revision

    async def _until_settled(self, queued: Step) -> None:
        """Wait until a step is durable or lost."""
        settled: asyncio.Future[None] = self._loop.create_future()
        self._followers.setdefault(queued.revision, []).append(settled)
        await settled

    def _row(self, made: Step, queued: Step | None) -> Row:
        """The row of a step, sealed if its key is; the key's revision before is a deletion's, too."""
        before = made.before
        previous = before.modified if before is not None else self._deleted.get(made.key, Revision(0))
        if queued is not None and queued.entry is None:
            previous = queued.revision
        row = step_row(made, previous)
        if self._sealer is not None:
            row = (row[0], row[1], self._sealer.seal(row[1], row[2]), row[3], row[4])
        return row

    def _begin_turn(self) -> None:
        if not self._is_turn_begun:
            self._is_turn_begun = True
            self._loop.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._is_turn_begun = False
        if self._turn:
            rows, self._turn = self._turn, []
            self._journal.append(rows)

    def _commit_here(self, made: Step, row: Row) -> bool:
        """Commit in this thread, if the journal is idle. Raises Unavailable when that failed."""
        start = time.perf_counter()
        was_possible, failure = self._journal.commit_here(row)
        if not was_possible:
            return False
        self._pace.took(time.perf_counter() - start)
        if failure is not None:
            self._refusal = failure
            self._after_commits()
            raise failure
        self._show(made)
        self._after_commits()
        return True

    def _committed(self, count: int, failure: Exception | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
            self._loop.call_soon_threadsafe(self._done, count, failure)

    def _done(self, count: int, failure: Exception | None) -> None:
        for _ in range(count):
            made, durable = self._waiting.popleft()
            if self._queued.get(made.key) is made:
                del self._queued[made.key]
            if failure is None:
                self._show(made)
                if not durable.done():
                    durable.set_result(None)
            else:
                self._refusal = failure
                if not durable.done():
                    durable.set_exception(failure)
            if self._followers:
                for settled in self._followers.pop(made.revision, ()):
                    if not settled.done():
                        settled.set_result(None)
        self._after_commits()

    def _after_commits(self) -> None:
        if isinstance(self._refusal, DiskFull) and not self._waiting:
            # Nothing that builds on the lost writes is queued any more: the next one may find room.
            self._refusal = None
            self._reserve.give_up()
            self._journal.resume()
        if self._since_compaction >= COMPACT_EVERY:
            self._forget()

    def _show(self, made: Step) -> None:
        """Let readers and watchers see a durable step."""
        self._since_compaction += 1
        self._history.apply(made)
        if made.entry is None:
            self._deleted[made.key] = made.revision
        else:
            self._deleted.pop(made.key, None)
        self._fanout.publish(made)

    def _forget(self) -> None:
        self._since_compaction = 0
        compacted = self._history.compacted
        if compacted:
            self._deleted = {key: at for key, at in self._deleted.items() if at > compacted}
            self._journal.forget(compacted, lambda failure: None)

    def watch(self, prefix: str, since: Revision) -> QueueWatcher:
        backlog = [past.change for past in self._history.after(since) if past.key.startswith(prefix)]
        return self._fanout.watcher(prefix, backlog)

    async def compact(self, revision: Revision) -> None:
        self._history.compact(revision)
        compacted = self._history.compacted
        self._deleted = {key: at for key, at in self._deleted.items() if at > compacted}
        done: asyncio.Future[None] = self._loop.create_future()
        self._journal.forget(compacted, lambda failure: self._settle(done, failure))
        await done

    def _settle(self, done: "asyncio.Future[None]", failure: Exception | None) -> None:
        def settle() -> None:
            if done.done():
                return
            if failure is None:
                done.set_result(None)
            else:
                done.set_exception(failure)

        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(settle)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        while self._waiting:
            await self._until_settled(self._waiting[-1][0])
        self._fanout.close()
        await asyncio.to_thread(self._journal.close)
