"""The content store in memory: the twin of images/local_content.py for tests. Blobs are memfds, so they have paths."""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from knarr.base.errors import Invalid, NotFound
from knarr.images.content import BlobInfo
from knarr.oci import digest as digests
from knarr.oci.digest import Digest


class MemoryContent:
    """ContentStore without a disk; its descriptors close with it."""

    def __init__(self) -> None:
        self._blobs: dict[Digest, tuple[int, int, float]] = {}

    def path(self, digest: Digest) -> Path:
        return Path(f"/proc/self/fd/{self._blob(digest)[0]}")

    def info(self, digest: Digest) -> BlobInfo:
        return BlobInfo(digest, self._blob(digest)[1])

    def ingest(self) -> "MemoryIngest":
        return MemoryIngest(self)

    def delete(self, digest: Digest) -> None:
        blob = self._blobs.pop(digests.parse(digest), None)
        if blob is not None:
            os.close(blob[0])

    def walk(self) -> Iterator[BlobInfo]:
        return iter([BlobInfo(digest, size) for digest, (_, size, _) in self._blobs.items()])

    def touch(self, digest: Digest) -> bool:
        if digest not in self._blobs:
            return False
        descriptor, size, _ = self._blobs[digest]
        self._blobs[digest] = (descriptor, size, time.time())
        return True

    def expire(self, digest: Digest, grace_seconds: float) -> bool:
        if digest not in self._blobs or time.time() - self._blobs[digest][2] < grace_seconds:
            return False
        self.delete(digest)
        return True

    def keep(self, digest: Digest, content: bytes) -> None:
        """Make a whole blob visible."""
        if self.touch(digest):
            return
        descriptor = os.memfd_create("blob")
        os.write(descriptor, content)
        self._blobs[digest] = (descriptor, len(content), time.time())

    def close(self) -> None:
        for digest in list(self._blobs):
            self.delete(digest)

    def _blob(self, digest: Digest) -> tuple[int, int, float]:
        try:
            return self._blobs[digests.parse(digest)]
        except KeyError as error:
            raise NotFound(f"blob {digest} is not here") from error


class MemoryIngest:
    def __init__(self, content: MemoryContent) -> None:
        self._content = content
        self._chunks: list[bytes] = []

    @property
    def size(self) -> int:
        return sum(map(len, self._chunks))

    def write(self, chunk: bytes | memoryview) -> None:
        self._chunks.append(bytes(chunk))

    def commit(self, expected: Digest | None = None) -> BlobInfo:
        body = b"".join(self._chunks)
        algorithm = (expected or "sha256:").partition(":")[0]
        actual = Digest(f"{algorithm}:{hashlib.new(algorithm, body).hexdigest()}")
        if expected is not None and actual != expected:
            raise Invalid(f"digest: the content is {actual}, not {expected}")
        self._content.keep(actual, body)
        return BlobInfo(actual, len(body))

    def peek(self, offset: int, size: int) -> bytes:
        return b"".join(self._chunks)[offset : offset + size]

    def abort(self) -> None:
        self._chunks.clear()
