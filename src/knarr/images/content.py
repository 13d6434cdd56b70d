"""Seams of image storage: blobs by digest, and file-system snapshots by chain id.

Builder, registry, puller and runtime share one content store, so what is built is at once pullable and runnable.
Implementations: images/local_content.py and images/overlay.py, and in-memory twins that pass the same contracts.
Image names (reference → manifest digest) are images/names.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from knarr.base.errors import TooLarge
from knarr.oci.digest import Digest
from knarr.oci.mount import Mount

DRAFT_PREFIX = "unpack-"
"""Begins the keys of snapshots that somebody unpacks into; what a crash left of them goes at the next start."""


@dataclass(frozen=True, slots=True)
class BlobInfo:
    digest: Digest
    size: int


class Ingest(Protocol):
    """One blob on its way in: invisible until committed. Bytes go to disk as they come, the digest is kept up."""

    @property
    def size(self) -> int: ...

    def write(self, chunk: bytes | memoryview) -> None: ...

    def commit(self, expected: Digest | None = None) -> BlobInfo:
        """Make the blob visible and durable; Invalid if the digest differs. Idempotent."""
        ...

    def peek(self, offset: int, size: int) -> bytes:
        """At most `size` of the bytes that were written, from `offset` on, for those who follow the blob's arrival;
        b"" once it was committed or given up."""
        ...

    def abort(self) -> None: ...


class ContentStore(Protocol):
    def path(self, digest: Digest) -> Path:
        """The file that holds the blob. Raises NotFound."""
        ...

    def info(self, digest: Digest) -> BlobInfo:
        """Raises NotFound."""
        ...

    def ingest(self) -> Ingest: ...

    def delete(self, digest: Digest) -> None:
        """Deleting the absent succeeds."""
        ...

    def expire(self, digest: Digest, grace_seconds: float) -> bool:
        """Delete the blob unless it came or was touched within the grace period: in one step, so that whoever was
        told by `touch` that the blob is here keeps it."""
        ...

    def walk(self) -> Iterator[BlobInfo]: ...

    def touch(self, digest: Digest) -> bool:
        """Whether the blob is here; if so it is safe from garbage collection for a grace period."""
        ...


def add(content: ContentStore, body: bytes, expected: Digest | None = None) -> BlobInfo:
    """Put bytes that are in memory into the store. Raises Invalid if they are not what is expected."""
    ingest = content.ingest()
    try:
        ingest.write(body)
        return ingest.commit(expected)
    except BaseException:
        ingest.abort()
        raise


def read(content: ContentStore, digest: Digest, limit: int) -> bytes:
    """A small blob as bytes. Raises NotFound, TooLarge."""
    size = content.info(digest).size
    if size > limit:
        raise TooLarge(f"blob {digest}: {size} bytes are more than {limit}")
    return content.path(digest).read_bytes()


class Snapshotter(Protocol):
    """Snapshots named by key. A committed one is read-only and may be a parent; an active one is writable."""

    def prepare(self, key: str, parent: str) -> tuple[Mount, ...]:
        """A writable snapshot on top of `parent` ("" is empty). Raises AlreadyExists, NotFound."""
        ...

    def mounts(self, key: str) -> tuple[Mount, ...]: ...

    def commit(self, key: str, name: str) -> None:
        """Make the active snapshot `key` the committed one `name`; AlreadyExists if that is there."""
        ...

    def upper(self, key: str) -> Path:
        """The directory with what an active or committed snapshot adds to its parent."""
        ...

    def remove(self, key: str) -> None:
        """Removing the absent succeeds; Conflict while it has children."""
        ...

    def has(self, key: str) -> bool: ...

    def usage(self, key: str) -> tuple[int, int]:
        """Bytes and inodes that the snapshot adds."""
        ...


class DurableSnapshotter(Snapshotter, Protocol):
    """A snapshotter whose committed snapshots can be made to outlive a power loss."""

    @property
    def root(self) -> Path:
        """The directory that everything of theirs lies in."""
        ...

    def keys(self) -> tuple[str, ...]:
        """All snapshots, children after their parents."""
        ...

    def settle(self) -> None:
        """Put what is committed on the disk; blocks. What is not settled when the machine stops is undone."""
        ...
