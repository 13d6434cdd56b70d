"""History: the entries and the window of changes, in memory. Both stores read from it.

Entries are the present; the window holds the last changes with what they replaced, so that an older revision is the
present with the younger changes undone. Not here: durability (sqlite.py), waking watchers (fanout.py).
"""

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from knarr.base.errors import Expired
from knarr.base.ids import Revision
from knarr.store.store import Change, Entry, Listing

WINDOW_MAX = 10_000
WINDOW_BYTES_MAX = 32 << 20
"""Bounds of the window in memory: a watcher may resume over that many changes."""


class Step(NamedTuple):
    """One step of history: the key's entry after it (None: deleted) and before it (None: there was none)."""

    revision: Revision
    key: str
    entry: Entry | None
    before: Entry | None

    @property
    def change(self) -> Change:
        after, before = self.entry, self.before
        return Change(
            self.revision, self.key, None if after is None else after.value, None if before is None else before.value
        )

    @property
    def size(self) -> int:
        return 0 if self.before is None else len(self.before.value)


class History:
    """`revision` is the last step's; `compacted` the last revision whose predecessors are forgotten."""

    def __init__(self, window_max: int = WINDOW_MAX, window_bytes_max: int = WINDOW_BYTES_MAX) -> None:
        self.revision = Revision(0)
        self.compacted = Revision(0)
        self._entries: dict[str, Entry] = {}
        self._keys: list[str] = []
        self._window: deque[Step] = deque()
        self._bytes = 0
        self._window_max = window_max
        self._window_bytes_max = window_bytes_max

    def load(self, entries: list[Entry], revision: Revision) -> None:
        """Begin with these entries and no window."""
        self._entries = {entry.key: entry for entry in entries}
        self._keys = sorted(self._entries)
        self.revision = self.compacted = revision

    def apply(self, step: Step) -> None:
        """Add the next step."""
        assert step.revision > self.revision
        if step.entry is None:
            del self._entries[step.key]
            del self._keys[bisect_left(self._keys, step.key)]
        else:
            if step.before is None:
                insort(self._keys, step.key)
            self._entries[step.key] = step.entry
        self._window.append(step)
        self._bytes += step.size
        self.revision = step.revision
        while len(self._window) > self._window_max or self._bytes > self._window_bytes_max:
            self._forget_oldest()

    def compact(self, revision: Revision) -> None:
        """Forget the steps up to `revision`."""
        while self._window and self._window[0].revision <= revision:
            self._forget_oldest()
        self.compacted = max(self.compacted, min(revision, self.revision))

    def _forget_oldest(self) -> None:
        step = self._window.popleft()
        self._bytes -= step.size
        self.compacted = step.revision

    def current(self, key: str) -> Entry | None:
        return self._entries.get(key)

    def get(self, key: str, at: Revision | None) -> Entry | None:
        if at is None or at >= self.revision:
            return self._entries.get(key)
        for step in self.after(at):
            if step.key == key:
                return step.before
        return self._entries.get(key)

    def list(self, prefix: str, at: Revision | None, after: str, limit: int) -> Listing:
        keys, entries = self._range(prefix, after), self._entries
        if at is None or at >= self.revision:
            chosen = keys[:limit] if limit else keys
            return Listing(tuple(map(entries.__getitem__, chosen)), self.revision, len(keys) - len(chosen))
        undone: dict[str, Entry | None] = {}
        for step in self.after(at):
            if step.key.startswith(prefix) and step.key > after and step.key not in undone:
                undone[step.key] = step.before
        past = {key: entries[key] for key in keys if key not in undone}
        past.update({key: entry for key, entry in undone.items() if entry is not None})
        ordered = sorted(past)
        chosen = ordered[:limit] if limit else ordered
        return Listing(tuple([past[key] for key in chosen]), at, len(ordered) - len(chosen))

    def _range(self, prefix: str, after: str) -> Sequence[str]:
        keys = self._keys
        low = bisect_right(keys, after) if after >= prefix else bisect_left(keys, prefix)
        return keys[low : bisect_left(keys, prefix + "\U0010ffff", low)]

    def after(self, revision: Revision) -> Iterator[Step]:
        """The steps younger than `revision`, oldest first. Raises Expired when some are forgotten."""
        if revision < self.compacted:
            raise Expired(f"the revision {revision} is compacted: the oldest kept is {self.compacted}", self.compacted)
        young: list[Step] = []
        for step in reversed(self._window):
            if step.revision <= revision:
                break
            young.append(step)
        return reversed(young)
