"""Bytes on their way into the content store: in order, whoever gives up, and none after a piece that was lost."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from knarr.images import ingestion
from knarr.images.content import BlobInfo
from knarr.oci.digest import Digest

MEGABYTE = 1 << 20


class Slow:
    """An ingest that keeps what it gets; the first piece waits until `go`, or fails."""

    def __init__(self, *, fails: bool = False) -> None:
        self.pieces: list[bytes] = []
        self.go = threading.Event()
        self.is_writing = threading.Event()
        self._fails = fails
        self.size = 0

    def write(self, chunk: bytes | memoryview) -> None:
        if not self.is_writing.is_set():
            self.is_writing.set()
            if self._fails:
                raise OSError(28, "No space left on device")
            self.go.wait(5)
        self.pieces.append(bytes(chunk[:1]))

    def commit(self, expected: Digest | None = None) -> BlobInfo:
        raise NotImplementedError

    def peek(self, offset: int, size: int) -> bytes:
        raise NotImplementedError

    def abort(self) -> None:
        return


async def pieces(*names: bytes, size: int = MEGABYTE) -> AsyncIterator[bytes]:
    for name in names:
        yield name * size


async def test_a_reader_that_gives_up_leaves_what_came_in_its_order() -> None:
    ingest = Slow()
    copying = asyncio.create_task(ingestion.copy_in(pieces(b"a", b"b", b"c"), ingest))
    await asyncio.to_thread(ingest.is_writing.wait, 5)
    copying.cancel()
    assert not (await asyncio.wait({copying}, timeout=0.01))[0]
    ingest.go.set()
    with pytest.raises(asyncio.CancelledError):
        await copying
    assert ingest.pieces == sorted(ingest.pieces)
    assert ingest.pieces[0] == b"a"


async def test_nothing_is_written_after_a_piece_that_was_lost() -> None:
    ingest = Slow(fails=True)
    with pytest.raises(OSError, match="No space left"):
        await ingestion.copy_in(pieces(b"a", b"b", b"c"), ingest)
    assert ingest.pieces == []


async def test_everything_arrives_in_order_and_is_counted() -> None:
    ingest, seen = Slow(), list[int]()
    ingest.go.set()
    assert await ingestion.copy_in(pieces(b"a", b"b", b"c"), ingest, progress=seen.append) == 3 * MEGABYTE
    assert ingest.pieces == [b"a", b"b", b"c"]
    assert seen[-1] == 3 * MEGABYTE
