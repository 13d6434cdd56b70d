"""The pipe between download and extractor: in order, bounded, and nobody waits for a side that is gone."""

import threading
from collections.abc import Callable

import pytest

from knarr.base.errors import Unavailable
from knarr.images.memory_content import MemoryContent
from knarr.images.pipe import Pipe, PipedIngest
from knarr.oci import digest as digests

JOIN_SECONDS = 20


def in_thread(act: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def test_chunks_arrive_in_order_and_end() -> None:
    pipe = Pipe()
    chunks = [b"%d" % number for number in range(1000)]

    def write() -> None:
        for chunk in chunks:
            pipe.put(chunk)
        pipe.end()

    writer = in_thread(write)
    read = []
    while chunk := pipe.read():
        read.append(chunk)
    writer.join(JOIN_SECONDS)
    assert (read, pipe.read()) == (chunks, b"")


def test_a_writer_does_not_wait_for_a_reader_that_is_gone() -> None:
    pipe = Pipe()
    writer = in_thread(lambda: [pipe.put(b"x") for _ in range(1000)])
    pipe.read()
    pipe.close()
    writer.join(JOIN_SECONDS)
    assert not writer.is_alive()


def test_a_reader_fails_when_the_download_is_cut() -> None:
    for waiting in (0, 3, 64):
        pipe = Pipe()
        for _ in range(waiting):
            pipe.put(b"x")
        pipe.cut()
        with pytest.raises(Unavailable, match="cut"):
            pipe.read()


def test_a_piped_ingest_writes_and_hands_on() -> None:
    content, handed = MemoryContent(), list[bytes]()
    ingest = PipedIngest(content.ingest(), handed.append)
    ingest.write(b"hel")
    ingest.write(memoryview(b"lo"))
    assert (ingest.size, ingest.commit().digest, handed) == (5, digests.of(b"hello"), [b"hel", b"lo"])
    ingest.abort()
    content.close()
