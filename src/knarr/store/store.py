"""The versioned key-value store under the API server: one Protocol, implementations beside it.

One integer revision orders every change. Reads come from memory and never wait; `write` is the only mutation and
answers only when the change is durable. Values are opaque bytes: the store knows nothing of JSON.
Vocabulary: an *entry* is a key's latest value; a *change* is one step of history; `expect` is the optimistic lock.
"""

from collections.abc import AsyncIterator
from typing import NamedTuple, Protocol

from knarr.base.ids import Revision


class Entry(NamedTuple):
    """A key's value, the revision that created the key and the one that last changed it.

    A tuple, as Change: every write makes one, and a frozen dataclass costs three times as much."""

    key: str
    value: bytes
    created: Revision
    modified: Revision


class Change(NamedTuple):
    """One change: `value` None means deleted; `previous` is the value before, None means created."""

    revision: Revision
    key: str
    value: bytes | None
    previous: bytes | None


class Listing(NamedTuple):
    """Entries in key order as of `revision`; `remaining` counts those after the last one when a limit cut the list."""

    entries: tuple[Entry, ...]
    revision: Revision
    remaining: int


class Watcher(Protocol):
    """A running watch: an async iterator of changes in revision order, without gap or repeat.

    A watcher that falls behind its bound ends with Expired; the writer never waits for it.
    """

    def __aiter__(self) -> AsyncIterator[Change]: ...

    async def __anext__(self) -> Change: ...

    async def batch(self) -> "list[Change]":
        """All changes that wait, at least one; none after a nudge. Ends as iteration does."""
        ...

    def nudge(self) -> None:
        """Let a waiting `batch` return without a change: how a reader's timer wakes it."""
        ...

    def take(self) -> "list[Change]":
        """All changes that wait now, perhaps none; ends as iteration does."""
        ...

    def close(self) -> None:
        """Stop; a waiting iteration ends with StopAsyncIteration."""
        ...


class Store(Protocol):
    @property
    def revision(self) -> Revision:
        """The revision of the last durable change; 0 in an empty store."""
        ...

    def get(self, key: str, at: Revision | None = None) -> Entry | None:
        """The entry as of `at` (now if None). Raises Expired if `at` is compacted."""
        ...

    def list(self, prefix: str, *, at: Revision | None = None, after: str = "", limit: int = 0) -> Listing:
        """Entries whose key begins with `prefix` and sorts behind `after`; limit 0 is no limit. Raises Expired."""
        ...

    async def write(self, key: str, value: bytes | None, *, expect: Revision | None) -> Revision:
        """Set (or, with None, delete) the key and return the change's revision once it is durable.

        `expect` is the entry's modified revision, 0 for "must not exist", None for "whatever is there".
        Raises Conflict when it differs, NotFound when a delete without expectation finds nothing.
        """
        ...

    def watch(self, prefix: str, since: Revision) -> Watcher:
        """Every change of keys under `prefix` after `since`. Raises Expired if `since` is compacted."""
        ...

    async def compact(self, revision: Revision) -> None:
        """Forget history before `revision`; entries stay."""
        ...

    async def close(self) -> None:
        """Make everything durable and let go of the files."""
        ...
