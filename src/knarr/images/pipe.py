"""A layer on its way from the network into the extractor: what is written to the blob is read by a worker thread too.

It only saves time: whatever goes wrong with the reading thread, the blob is written in full and can be unpacked from
disk. The bound holds the download back when the disk is slower than the network.
"""

import queue
from collections.abc import Callable

from knarr.base.errors import Unavailable
from knarr.images.content import BlobInfo, Ingest
from knarr.oci.digest import Digest

_CHUNKS_MAX = 64
_CHUNK_SECONDS = 120.0
"""How long the reader waits for the next chunk: longer than the puller's own limit for a stalled download."""
_CHECK_SECONDS = 0.5


class Pipe:
    """Chunks from writing threads to one reading thread. Neither waits for a side that is gone."""

    def __init__(self) -> None:
        self._chunks: queue.Queue[bytes] = queue.Queue(_CHUNKS_MAX)
        self._is_cut = self._is_closed = False

    def put(self, chunk: bytes) -> None:
        """Hand a chunk on; waits while the reader is behind, and drops it when the reader is gone."""
        while not self._is_closed:
            try:
                self._chunks.put(chunk, timeout=_CHECK_SECONDS)
            except queue.Full:
                continue
            return

    def end(self) -> None:
        """All is here."""
        self.put(b"")

    def cut(self) -> None:
        """No more comes, and what came is not all: the reader fails. Never waits."""
        self._is_cut = True
        while True:
            try:
                self._chunks.put_nowait(b"")
            except queue.Full:
                self._drop()
            else:
                return

    def close(self) -> None:
        """The reader wants no more."""
        self._is_closed = True
        self._drop()

    def read(self, _size: int = -1) -> bytes:
        """The next chunk, whatever its size; b"" at the end. Raises Unavailable when it was cut."""
        if self._is_closed:
            return b""
        try:
            chunk = self._chunks.get(timeout=_CHUNK_SECONDS)
        except queue.Empty as error:
            raise Unavailable("layer: nothing more arrived") from error
        if self._is_cut:
            raise Unavailable("layer: its download was cut")
        if not chunk:
            self._is_closed = True
        return chunk

    def _drop(self) -> None:
        while True:
            try:
                self._chunks.get_nowait()
            except queue.Empty:
                return


class PipedIngest:
    """An Ingest that hands on what it writes."""

    def __init__(self, ingest: Ingest, put: Callable[[bytes], None]) -> None:
        self._ingest = ingest
        self._put = put

    @property
    def size(self) -> int:
        return self._ingest.size

    def write(self, chunk: bytes | memoryview) -> None:
        self._ingest.write(chunk)
        self._put(bytes(chunk))

    def commit(self, expected: Digest | None = None) -> BlobInfo:
        return self._ingest.commit(expected)

    def peek(self, offset: int, size: int) -> bytes:
        return self._ingest.peek(offset, size)

    def abort(self) -> None:
        self._ingest.abort()
