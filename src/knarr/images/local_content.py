"""The content store on disk, in the OCI image layout: `blobs/sha256/HEX`, uploads in `ingest/` until they are whole.

A blob becomes visible by one rename, after its bytes and digest are checked and on disk; so what is visible is whole,
after any crash. It does not know what a blob means, and it does not decide what may go (images/gc.py).
All calls block: callers on an event loop pass large pieces to a worker thread (hashing leaves the interpreter lock).
"""

import contextlib
import ctypes
import hashlib
import os
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from knarr.base.errors import Invalid, NotFound, Unavailable
from knarr.base.failpoints import failpoint
from knarr.images.content import BlobInfo
from knarr.oci import digest as digests
from knarr.oci.digest import Digest

_FLUSH_SIZE = 8 << 20
_SYNC_FILE_RANGE_WRITE = 2
_libc = ctypes.CDLL(None, use_errno=True)
_ALGORITHMS = ("sha256", "sha512")


@dataclass(slots=True)
class _Shelf:
    """What a store and its ingests share, `lock` held: the blobs whose rename a power loss could still undo, and all
    by size. `sizes` is None until somebody asks: then the directories are read once, and never again."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    unsettled: set[Path] = field(default_factory=set)
    sizes: dict[Digest, int] | None = None

    def put(self, digest: Digest, size: int) -> None:
        if self.sizes is not None:
            self.sizes[digest] = size

    def drop(self, digest: Digest) -> None:
        if self.sizes is not None:
            self.sizes.pop(digest, None)


class LocalContent:
    """ContentStore over a directory that one process owns."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._blobs = root / "blobs"
        self._ingest = root / "ingest"
        self._shelf = _Shelf()
        for algorithm in _ALGORITHMS:
            (self._blobs / algorithm).mkdir(parents=True, exist_ok=True, mode=0o700)
        self._ingest.mkdir(exist_ok=True, mode=0o700)
        for left_over in self._ingest.iterdir():
            left_over.unlink(missing_ok=True)

    def path(self, digest: Digest) -> Path:
        path = self._file(digest)
        if not path.is_file():
            raise NotFound(f"blob {digest} is not here")
        return path

    def info(self, digest: Digest) -> BlobInfo:
        try:
            return BlobInfo(digest, self._file(digest).stat().st_size)
        except FileNotFoundError as error:
            raise NotFound(f"blob {digest} is not here") from error

    def ingest(self) -> "LocalIngest":
        return LocalIngest(self._ingest / secrets.token_hex(16), self._blobs, self._shelf)

    def delete(self, digest: Digest) -> None:
        file = self._file(digest)
        with self._shelf.lock:
            file.unlink(missing_ok=True)
            self._shelf.drop(digest)

    def walk(self) -> Iterator[BlobInfo]:
        with self._shelf.lock:
            if self._shelf.sizes is None:
                self._shelf.sizes = dict(self._read())
            found = list(self._shelf.sizes.items())
        for digest, size in found:
            yield BlobInfo(digest, size)

    def _read(self) -> Iterator[tuple[Digest, int]]:
        for algorithm in _ALGORITHMS:
            with os.scandir(self._blobs / algorithm) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        yield Digest(f"{algorithm}:{entry.name}"), entry.stat().st_size

    def touch(self, digest: Digest) -> bool:
        """Whether the blob is here; if so, garbage collection leaves it alone for its grace period from now on."""
        with self._shelf.lock:
            return _touch(self._file(digest))

    def expire(self, digest: Digest, grace_seconds: float) -> bool:
        """Delete the blob unless it is younger than that; nobody touches it in between."""
        file = self._file(digest)
        with self._shelf.lock:
            try:
                if time.time() - file.stat().st_mtime < grace_seconds:
                    return False
            except FileNotFoundError:
                self._shelf.drop(digest)
                return False
            file.unlink(missing_ok=True)
            self._shelf.drop(digest)
        return True

    def _file(self, digest: Digest) -> Path:
        algorithm, _, encoded = digests.parse(digest).partition(":")
        return self._blobs / algorithm / encoded


class LocalIngest:
    """One blob on its way in: a file of its own, hashed as it grows."""

    def __init__(self, draft: Path, blobs: Path, shelf: _Shelf) -> None:
        self._draft = draft
        self._blobs = blobs
        self._shelf = shelf
        self._closing = threading.Lock()
        self._file = open(draft, "x+b", buffering=0)  # noqa: SIM115  # closed by commit and abort
        self._hash = hashlib.sha256()
        self._size = self._flushed = 0
        self._committed: BlobInfo | None = None

    @property
    def size(self) -> int:
        return self._size

    def write(self, chunk: bytes | memoryview) -> None:
        self._hash.update(chunk)
        try:
            left = memoryview(chunk)
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise _disk_failure(error) from error
        self._size += len(chunk)
        if self._size - self._flushed >= _FLUSH_SIZE:
            start_writeback(self._file.fileno(), self._flushed, self._size - self._flushed)
            self._flushed = self._size

    def commit(self, expected: Digest | None = None) -> BlobInfo:
        if self._committed is None:
            self._committed = self._commit(expected)
        return self._committed

    def peek(self, offset: int, size: int) -> bytes:
        with self._closing:
            return b"" if self._file.closed else os.pread(self._file.fileno(), size, offset)

    def abort(self) -> None:
        self._close()
        self._draft.unlink(missing_ok=True)

    def _commit(self, expected: Digest | None) -> BlobInfo:
        actual = self._digest(expected)
        if expected is not None and actual != expected:
            self.abort()
            raise Invalid(f"digest: the content is {actual}, not {expected}")
        algorithm, _, encoded = actual.partition(":")
        target = self._blobs / algorithm / encoded
        with self._shelf.lock:
            is_here = _touch(target)
            is_settled = target not in self._shelf.unsettled
        try:
            if is_here:
                self.abort()
                if not is_settled:  # an equal blob came a moment ago: it is as durable as this one has to be
                    sync_directory(target.parent)
                return BlobInfo(actual, self._size)
            os.fsync(self._file.fileno())
            self._close()
            failpoint("content.before_rename")
            with self._shelf.lock:
                self._shelf.unsettled.add(target)
                self._draft.rename(target)
                self._shelf.put(actual, self._size)
            failpoint("content.after_rename")
            sync_directory(target.parent)
            with self._shelf.lock:
                self._shelf.unsettled.discard(target)
        except OSError as error:
            self.abort()
            raise _disk_failure(error) from error
        return BlobInfo(actual, self._size)

    def _close(self) -> None:
        """Nobody may peek at what another file has the descriptor of."""
        with self._closing:
            self._file.close()

    def _digest(self, expected: Digest | None) -> Digest:
        """sha256 was kept up; a sha512 that somebody expects is read from the draft."""
        if expected is None or expected.startswith("sha256:"):
            return Digest("sha256:" + self._hash.hexdigest())
        with open(self._draft, "rb") as draft:
            return Digest("sha512:" + hashlib.file_digest(draft, "sha512").hexdigest())


def _touch(file: Path) -> bool:
    try:
        os.utime(file)
    except FileNotFoundError:
        return False
    return True


def _disk_failure(error: OSError) -> Unavailable:
    """The disk is full or broken: a failed fsync is never tried again, the blob is given up."""
    return Unavailable(f"content store: {error.strerror or error}")


def start_writeback(descriptor: int, offset: int, size: int) -> None:
    """Let the kernel begin to write what is dirty, without waiting: the final fsync then has little left to do."""
    _libc.sync_file_range(descriptor, ctypes.c_int64(offset), ctypes.c_int64(size), _SYNC_FILE_RANGE_WRITE)


def sync_directory(directory: Path) -> None:
    """Make renames in the directory survive a power loss."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, content: bytes) -> None:
    """Write a small file all at once: the old or the new content is there after any crash."""
    draft = path.with_name(path.name + ".tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with memoryview(content) as left:
            written = 0
            while written < len(left):
                written += os.write(descriptor, left[written:])
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    draft.rename(path)
    sync_directory(path.parent)
