"""Layer compression: recognised by its bytes, whole however it is cut, and bounded."""

import gzip
import hashlib
import io

import pytest

from knarr.base.errors import Invalid, TooLarge
from knarr.images import compression
from knarr.images.compression import PlainReader

PLAIN = bytes(range(256)) * 4000
FORMS = {
    "plain": PLAIN,
    "gzip": gzip.compress(PLAIN),
    "gzip of several members": gzip.compress(PLAIN[:1000]) + gzip.compress(b"") + gzip.compress(PLAIN[1000:]),
    "gzip with padding": gzip.compress(PLAIN) + b"\0" * 300,
    "zstd": compression.zstd().compress(PLAIN),
    "zstd of several frames": compression.zstd().compress(PLAIN[:1000]) + compression.zstd().compress(PLAIN[1000:]),
}


class Drops(io.BytesIO):
    """A file that gives one byte at a time."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(1)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_plain_bytes_and_their_digest(form: str) -> None:
    reader = PlainReader(io.BytesIO(FORMS[form]))
    pieces = []
    while piece := reader.read(100_001):
        pieces.append(piece)
    assert b"".join(pieces) == PLAIN
    assert {len(piece) for piece in pieces[:-1]} == {100_001}
    assert reader.diff_id() == "sha256:" + hashlib.sha256(PLAIN).hexdigest()
    assert reader.plain_size == len(PLAIN)


@pytest.mark.parametrize("form", ["gzip of several members", "zstd of several frames"])
def test_a_stream_in_drops_is_the_same(form: str) -> None:
    assert PlainReader(Drops(FORMS[form])).read(len(PLAIN) + 1) == PLAIN


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_a_stream_that_is_cut_short_is_refused(form: str) -> None:
    body = FORMS[form]
    for length in (5, 20, len(body) // 2, len(body) - 9, len(body) - 1):
        with pytest.raises(Invalid):
            PlainReader(io.BytesIO(body[:length])).diff_id()


@pytest.mark.parametrize("form", ["gzip", "zstd"])
def test_a_stream_that_is_broken_is_refused_or_has_another_digest(form: str) -> None:
    body = bytearray(FORMS[form])
    body[len(body) // 2] ^= 0xFF
    try:
        found = PlainReader(io.BytesIO(bytes(body))).diff_id()
    except Invalid:
        return
    assert found != PlainReader(io.BytesIO(PLAIN)).diff_id()  # zstd frames need not carry a checksum


@pytest.mark.parametrize("head", [b"BZh91AY", b"\xfd7zXZ\0"])
def test_other_compressions_are_named_and_refused(head: bytes) -> None:
    with pytest.raises(Invalid, match="bzip2 and xz"):
        PlainReader(io.BytesIO(head + b"x" * 100)).read(1)


@pytest.mark.parametrize("compress", [lambda zeros: gzip.compress(zeros, 9), compression.zstd().compress])
def test_a_bomb_is_stopped_at_the_ratio(compress) -> None:  # type: ignore[no-untyped-def]
    bomb = compress(b"\0" * (100 << 20))
    reader = PlainReader(io.BytesIO(bomb))
    with pytest.raises(TooLarge, match="times its size"):
        reader.diff_id()
    assert reader.plain_size <= (66 << 20)


def test_the_size_has_a_limit_of_its_own() -> None:
    with pytest.raises(TooLarge, match="more than 1000 bytes"):
        PlainReader(io.BytesIO(PLAIN), size_max=1000).diff_id()


def test_what_is_packed_is_the_same_each_time_and_standard_gzip() -> None:
    packed = []
    for _ in range(2):
        writer = compression.gzip_writer()
        packed.append(writer.compress(PLAIN) + writer.flush())
    assert packed[0] == packed[1]
    assert gzip.decompress(packed[0]) == PLAIN
    assert packed[0][4:8] == b"\0\0\0\0"
