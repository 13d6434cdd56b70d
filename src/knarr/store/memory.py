"""The store in memory: the whole contract but durability. For tests, simulation and the harnesses."""

from knarr.base.errors import Conflict, NotFound
from knarr.base.ids import Revision
from knarr.store.fanout import QUEUE_MAX, Fanout, QueueWatcher
from knarr.store.history import WINDOW_MAX, History, Step
from knarr.store.store import Entry, Listing


def step(key: str, value: bytes | None, before: Entry | None, expect: Revision | None, revision: Revision) -> Step:
    """The step that a write makes. Raises Conflict or NotFound when the expectation does not hold."""
    modified = 0 if before is None else before.modified
    if expect is not None and expect != modified:
        raise Conflict(f"{key}: expected revision {expect}, found {modified}")
    if value is None:
        if before is None:
            raise NotFound(f"{key}: not there")
        return Step(revision, key, None, before)
    created = revision if before is None else before.created
    return Step(revision, key, Entry(key, value, created, revision), before)


class MemoryStore:
    """store.Store over a History; nothing survives the process."""

    def __init__(self, *, window_max: int = WINDOW_MAX, queue_max: int = QUEUE_MAX) -> None:
        self._history = History(window_max)
        self._fanout = Fanout(queue_max)

    @property
    def revision(self) -> Revision:
        return self._history.revision

    def get(self, key: str, at: Revision | None = None) -> Entry | None:
        return self._history.get(key, at)

    def list(self, prefix: str, *, at: Revision | None = None, after: str = "", limit: int = 0) -> Listing:
        return self._history.list(prefix, at, after, limit)

    async def write(self, key: str, value: bytes | None, *, expect: Revision | None) -> Revision:
        revision = Revision(self._history.revision + 1)
        made = step(key, value, self._history.current(key), expect, revision)
        self._history.apply(made)
        self._fanout.publish(made)
        return revision

    def watch(self, prefix: str, since: Revision) -> QueueWatcher:
        backlog = [past.change for past in self._history.after(since) if past.key.startswith(prefix)]
        return self._fanout.watcher(prefix, backlog)

    async def compact(self, revision: Revision) -> None:
        self._history.compact(revision)

    async def close(self) -> None:
        self._fanout.close()
