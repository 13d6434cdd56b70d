"""The contract of a content store: blobs appear whole, verified and once, on disk and in memory."""

import hashlib
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from knarr.base.errors import Invalid, NotFound, TooLarge
from knarr.images.content import BlobInfo, ContentStore, add, read
from knarr.images.local_content import LocalContent
from knarr.images.memory_content import MemoryContent
from knarr.oci import digest as digests
from knarr.oci.digest import Digest

HELLO = digests.of(b"hello")
ABSENT = Digest("sha256:" + "0" * 64)


@pytest.fixture(params=["disk", "memory"])
def content(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ContentStore]:
    if request.param == "disk":
        yield LocalContent(tmp_path)
        return
    memory = MemoryContent()
    yield memory
    memory.close()


def test_a_blob_is_there_after_its_commit_and_not_before(content: ContentStore) -> None:
    ingest = content.ingest()
    ingest.write(b"hel")
    ingest.write(memoryview(b"lo"))
    assert (ingest.size, list(content.walk())) == (5, [])
    assert ingest.commit(HELLO) == BlobInfo(HELLO, 5)
    assert list(content.walk()) == [BlobInfo(HELLO, 5)]
    assert content.path(HELLO).read_bytes() == b"hello"


def test_a_wrong_digest_leaves_nothing(content: ContentStore) -> None:
    ingest = content.ingest()
    ingest.write(b"other")
    with pytest.raises(Invalid, match=f"not {HELLO}"):
        ingest.commit(HELLO)
    assert list(content.walk()) == []


def test_committing_twice_is_the_same(content: ContentStore) -> None:
    ingest = content.ingest()
    ingest.write(b"hello")
    assert ingest.commit() == ingest.commit() == BlobInfo(HELLO, 5)


def test_two_equal_blobs_are_stored_once(content: ContentStore) -> None:
    first, second = content.ingest(), content.ingest()
    first.write(b"hello")
    second.write(b"hello")
    assert first.commit() == second.commit()
    assert list(content.walk()) == [BlobInfo(HELLO, 5)]


def test_an_aborted_blob_never_appears(content: ContentStore) -> None:
    ingest = content.ingest()
    ingest.write(b"hello")
    ingest.abort()
    ingest.abort()
    assert list(content.walk()) == []


def test_sha512_is_kept_under_its_own_name(content: ContentStore) -> None:
    digest = Digest("sha512:" + hashlib.sha512(b"hello").hexdigest())
    assert add(content, b"hello", digest) == BlobInfo(digest, 5)
    assert content.info(digest).size == 5


def test_the_absent_is_not_found_and_deleting_it_succeeds(content: ContentStore) -> None:
    with pytest.raises(NotFound):
        content.path(ABSENT)
    with pytest.raises(NotFound):
        content.info(ABSENT)
    content.delete(ABSENT)
    assert not content.touch(ABSENT)
    assert not content.expire(ABSENT, 0)


def test_a_deleted_blob_is_gone(content: ContentStore) -> None:
    add(content, b"hello")
    content.delete(HELLO)
    assert list(content.walk()) == []


def test_the_list_follows_every_change(content: ContentStore) -> None:
    """Against a plain count, whatever comes, comes again and goes, and whenever somebody asks."""
    chance, expected = random.Random(5), dict[Digest, int]()
    for turn in range(400):
        body = b"%d" % chance.randrange(40)
        digest = digests.of(body)
        match chance.choice(("add", "add", "delete", "expire", "keep", "refuse")):
            case "add":
                expected[digest] = add(content, body).size
            case "delete":
                content.delete(digest)
                expected.pop(digest, None)
            case "expire":
                content.expire(digest, 0)
                expected.pop(digest, None)
            case "keep":
                content.expire(digest, 60)
            case "refuse":
                with pytest.raises(Invalid):
                    add(content, b"%d other" % turn, digest)
        if turn % 7 == 0:
            assert {blob.digest: blob.size for blob in content.walk()} == expected
    assert {blob.digest: blob.size for blob in content.walk()} == expected


def test_an_empty_blob_is_a_blob(content: ContentStore) -> None:
    assert add(content, b"").size == 0
    assert content.path(digests.of(b"")).read_bytes() == b""


@pytest.mark.parametrize(
    "text", ["sha256:../../../etc/passwd", "sha256:", "x", "sha256:" + "A" * 64, "../x:" + "a" * 64]
)
def test_a_digest_is_no_path(content: ContentStore, text: str) -> None:
    with pytest.raises(Invalid):
        content.path(Digest(text))


def test_a_small_blob_is_read_within_a_limit(content: ContentStore) -> None:
    add(content, b"hello")
    assert read(content, HELLO, 5) == b"hello"
    with pytest.raises(TooLarge):
        read(content, HELLO, 4)


def test_a_touched_blob_does_not_expire(content: ContentStore) -> None:
    add(content, b"hello")
    assert content.touch(HELLO)
    assert not content.expire(HELLO, 60)
    assert content.info(HELLO).size == 5
    assert content.expire(HELLO, 0)
    assert not content.touch(HELLO)


def test_what_arrives_can_be_followed(content: ContentStore) -> None:
    ingest = content.ingest()
    ingest.write(b"hel")
    assert ingest.peek(1, 10) == b"el"
    ingest.write(b"lo")
    assert ingest.peek(3, 1) == b"l"
    ingest.abort()


def test_who_was_told_that_a_blob_is_here_keeps_it(tmp_path: Path) -> None:
    """Garbage collection against pushes that ask for the blob: a race that each side may win, but never half."""
    content = LocalContent(tmp_path)
    file = tmp_path / "blobs" / "sha256" / HELLO.removeprefix("sha256:")
    lost, kept, ended = 0, 0, threading.Event()

    def collect() -> None:
        while not ended.is_set():
            content.expire(HELLO, 600)

    collector = threading.Thread(target=collect)
    collector.start()
    for _ in range(2000):
        add(content, b"hello")
        os.utime(file, (0, 0))
        if content.touch(HELLO):
            kept += 1
            lost += not file.exists()
    ended.set()
    collector.join()
    assert lost == 0
    assert kept > 0


def test_what_a_crash_left_half_written_is_cleared_at_the_next_start(tmp_path: Path) -> None:
    before = LocalContent(tmp_path)
    add(before, b"hello")
    half = before.ingest()
    half.write(b"half")
    after = LocalContent(tmp_path)
    half.abort()
    assert list(after.walk()) == [BlobInfo(HELLO, 5)]
    assert list((tmp_path / "ingest").iterdir()) == []
