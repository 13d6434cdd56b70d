"""Seams of image storage: blobs by digest, and file-system snapshots by chain id.

Builder, registry, puller and runtime share one content store, so what is built is at once pullable and runnable.
Implementations: images/local_content.py and images/overlay.py, and in-memory twins that pass the same contracts.
Image names (reference → manifest digest) are images/names.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from knarr.oci.digest import Digest
from knarr.oci.mount import Mount


@dataclass(frozen=True, slots=True)
class BlobInfo:
    digest: Digest
    size: int


class Ingest(Protocol):
    """One blob on its way in: invisible until committed. Bytes go to disk as they come, the digest is kept up."""

    @property
    def size(self) -> int: ...

    def write(self, chunk: bytes) -> None: ...

    def commit(self, expected: Digest | None = None) -> BlobInfo:
        """Make the blob visible and durable; Invalid if the digest differs. Idempotent."""
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

    def walk(self) -> Iterator[BlobInfo]: ...


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
