"""The journal: one SQLite connection, and one thread for writes and checkpoints.

`append` hands steps over; the thread commits everything that queued while the last fsync ran and only then answers.
A batch is one INSERT of many rows: one SQLite step, hence one release of the interpreter lock and one fsync.
`commit_here` commits one row in the caller's thread while the journal's is idle: when to do that is pace.py's.
After a failed write nothing is retried (a failed fsync may have lost pages): the journal stays failed. Only a full disk
is forgiven: SQLite has rolled that INSERT back before any fsync, so later ones may be tried.
Table: `step` is append-only, a row per change; (previous, key) is unique, so history can never fork. In this order
rows of changes come to the index's end, where a batch finds them in few pages; by key each would change one of its own,
as that of a creation does (its previous is 0).
"""

import contextlib
import fcntl
import os
import queue
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import apsw

from knarr.base.errors import Invalid, Unavailable
from knarr.base.failpoints import failpoint
from knarr.base.ids import Revision
from knarr.store.history import Step
from knarr.store.store import Entry

APPLICATION_ID = 0x6B6E6172  # "knar"
SCHEMA_VERSION = 1
ROWS_MAX = 512
"""Rows of one INSERT: 5 values each stay far below SQLite's limit of 32,766 variables."""
CHECKPOINT_PAGES: Final = 2000
"""The write-ahead log is copied into the file when it has so many pages (8 MB)."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS step(
  revision INTEGER PRIMARY KEY, key TEXT NOT NULL, value BLOB, created INTEGER NOT NULL, previous INTEGER NOT NULL);
DROP INDEX IF EXISTS step_once; -- what stores of before had instead: (key, previous)
CREATE UNIQUE INDEX IF NOT EXISTS step_chain ON step(previous, key);
CREATE TABLE IF NOT EXISTS mark(name TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
"""
_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "mmap_size=0", "cache_size=-2048", "wal_autocheckpoint=0")

Row = tuple[int, str, bytes | None, int, int]
"""revision, key, value (None: deleted), created, the key's revision before (0: never)."""
_INSERT: Final = "INSERT INTO step VALUES "
Answer = Callable[[Exception | None], None]
"""Called in the journal's thread when the act is durable (None) or lost."""
Committed = Callable[[int, Exception | None], None]
"""Called in the journal's thread: so many appended rows, the oldest unanswered first, are durable (None) or lost."""


class DiskFull(Unavailable):
    """Nothing was written because there is no room; later writes may be tried."""


class Journal:
    """Owner of the database file; opening one that is owned raises Unavailable."""

    def __init__(self, path: Path, committed: Committed) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = _locked(path.with_name(path.name + ".lock"))
        self._failure: Exception | None = None
        self._committed = committed
        self._compacted = 0
        self._queue: queue.SimpleQueue[list[Row] | Callable[[], None] | None] = queue.SimpleQueue()
        self._in_use = threading.Lock()
        try:
            self._connection = _opened(path)
        except Exception as error:
            os.close(self._lock)
            if isinstance(error, apsw.Error):
                raise Invalid(f"{path}: cannot be read as knarr's store: {error}") from error
            raise
        self._thread = threading.Thread(target=self._run, name="store-journal", daemon=True)
        self._thread.start()

    def rows(self) -> tuple[list[Row], Revision]:
        """Every kept row in order, and the compacted revision. Call before the first append."""
        compacted = self._connection.execute("SELECT revision FROM mark WHERE name='compacted'").get or 0
        self._compacted = int(compacted)
        rows = list(self._connection.execute("SELECT revision, key, value, created, previous FROM step ORDER BY 1"))
        return rows, Revision(compacted)

    def append(self, rows: list[Row]) -> None:
        """Make the rows durable in this order; `committed` counts them then."""
        self._queue.put(rows)

    def commit_here(self, row: Row) -> tuple[bool, Exception | None]:
        """Make one row durable in this thread: (whether that was possible now, why it failed). No `append` may wait."""
        if self._queue.qsize() or not self._in_use.acquire(blocking=False):
            return False, None
        try:
            failure = self._inserted((row,))
            if self._is_log_long():
                self._queue.put(self._checkpoint)
        finally:
            self._in_use.release()
        return True, failure

    def forget(self, compacted: Revision, answer: Answer) -> None:
        """Delete rows that a later row up to `compacted` replaced, and tombstones up to it."""

        def run() -> None:
            try:
                self._refuse_if_failed()
                self._forget(compacted)
            except Exception as error:
                answer(error)
            else:
                answer(None)

        self._queue.put(run)

    def close(self) -> None:
        """Finish what is queued, checkpoint, and let go of the file."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        item = self._queue.get()
        while item is not None:
            if callable(item):
                with self._in_use:
                    item()
                item = self._queue.get()
                continue
            batch = item
            item = None
            while len(batch) < ROWS_MAX and self._queue.qsize():
                item = self._queue.get()
                if not isinstance(item, list):
                    break
                batch, item = batch + item, None
            self._commit(batch)
            if item is None:
                item = self._queue.get()
        self._end()

    def _commit(self, rows: Sequence[Row]) -> None:
        with self._in_use:
            for start in range(0, len(rows), ROWS_MAX):
                part = rows[start : start + ROWS_MAX]
                self._committed(len(part), self._inserted(part))
            if self._is_log_long():
                self._checkpoint()

    def _inserted(self, rows: Sequence[Row]) -> Exception | None:
        """Insert and commit; why it failed."""
        try:
            self._refuse_if_failed()
            failpoint("store.before_commit")
            if len(rows) == 1:
                self._connection.execute(f"{_INSERT}(?,?,?,?,?)", rows[0])
            else:
                values: Iterable[str] = ["(?,?,?,?,?)"] * len(rows)
                flat = [value for row in rows for value in row]
                self._connection.execute(_INSERT + ",".join(values), flat)
            failpoint("store.after_commit")
        except Exception as error:
            return self._failed(error)
        return None

    def _is_log_long(self) -> bool:
        # Asked, not told by a hook: a hook would need the interpreter's lock in the middle of every commit.
        return self._connection.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE)[0] >= CHECKPOINT_PAGES

    def _checkpoint(self) -> None:
        """Copy the log into the file. A failure loses nothing: the log stays, and is copied the next time."""
        self._connection.status(apsw.SQLITE_DBSTATUS_CACHE_WRITE, reset=True)
        with contextlib.suppress(apsw.Error):
            self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def _failed(self, error: Exception) -> Exception:
        if self._failure is None:
            if isinstance(error, apsw.FullError):
                self._failure = DiskFull(f"the store has no room on its disk and refuses writes: {error}")
            else:
                self._failure = Unavailable(f"the store cannot write and is read-only now: {error}")
            self._failure.__cause__ = error
        return self._failure

    def resume(self) -> None:
        """Try again with what comes from now on, after DiskFull was answered to everything that was queued."""
        if isinstance(self._failure, DiskFull):
            self._failure = None

    def _refuse_if_failed(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _forget(self, compacted: Revision) -> None:
        failpoint("store.before_compaction")
        execute = self._connection.execute
        with self._connection:
            execute(
                "DELETE FROM step WHERE revision IN (SELECT older.revision FROM step older JOIN step younger "
                "ON younger.key = older.key AND younger.previous = older.revision "
                "WHERE younger.revision > ? AND younger.revision <= ?)",
                (self._compacted, compacted),
            )
            execute(
                "DELETE FROM step WHERE value IS NULL AND revision > ? AND revision <= ?", (self._compacted, compacted)
            )
            # The newest row may be gone now: the mark keeps the revision from running backwards.
            execute("INSERT OR REPLACE INTO mark VALUES('compacted', ?)", (compacted,))
        self._compacted = compacted
        failpoint("store.after_compaction")

    def _end(self) -> None:
        try:
            self._connection.close()
        finally:
            os.close(self._lock)


def _locked(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise Unavailable(f"{path.parent}: another knarr owns this store") from error
    return descriptor


def _opened(path: Path) -> apsw.Connection:
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = apsw.Connection(str(path))
    found = connection.pragma("application_id")
    version = connection.pragma("user_version")
    if found not in (0, APPLICATION_ID) or version not in (0, SCHEMA_VERSION):
        connection.close()
        raise Invalid(f"{path} is not a store of this knarr (application {found}, schema {version})")
    for pragma in _PRAGMAS:
        connection.execute(f"PRAGMA {pragma}")
    with connection:
        connection.execute(_SCHEMA)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
    return connection


def step_row(step: Step, previous: Revision) -> Row:
    """The row of a step whose key was last changed at `previous`."""
    if step.entry is None:
        return step.revision, step.key, None, 0, previous
    return step.revision, step.key, step.entry.value, step.entry.created, previous


def replayed(rows: Sequence[Row], compacted: Revision) -> tuple[list[Entry], list[Step], dict[str, Revision]]:
    """From all rows: the entries as of `compacted`, the steps since, and the last revision of each deleted key."""
    before: dict[str, Entry] = {}
    steps: list[Step] = []
    deleted: dict[str, Revision] = {}
    present: dict[str, Entry] = {}
    for number, key, value, created, _ in rows:
        revision = Revision(number)
        entry = None if value is None else Entry(key, value, Revision(created), revision)
        if revision > compacted:
            steps.append(Step(revision, key, entry, present.get(key)))
        elif entry is not None:
            before[key] = entry
        else:
            before.pop(key, None)
        if entry is None:
            present.pop(key, None)
            deleted[key] = revision
        else:
            present[key] = entry
            deleted.pop(key, None)
    return list(before.values()), steps, deleted
