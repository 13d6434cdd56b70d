"""wire/spdy.py: frames whole, byte by byte and damaged."""

import contextlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knarr.wire import spdy
from tests.unit.wire.pair import SpdyClient


def conversation() -> bytes:
    client = SpdyClient()
    return (
        client.open(1, {"streamtype": "error"})
        + client.open(3, {"streamtype": "stdin", "X": "y"}, is_final=True)
        + spdy.data(1, b"abc")
        + spdy.data(1, b"", is_final=True)
        + spdy.pong(b"\0\0\0\1")
        + spdy.reset(3, 5)
        + spdy.goaway(3)
    )


FRAMES = [
    spdy.Opened(1, {"streamtype": "error"}, False),
    spdy.Opened(3, {"streamtype": "stdin", "x": "y"}, True),
    spdy.Received(1, b"abc", False),
    spdy.Received(1, b"", True),
    spdy.Pinged(b"\0\0\0\1"),
    spdy.Reset(3, 5),
    spdy.Leaving(),
]


def test_the_dictionary_is_the_specifications() -> None:
    assert (len(spdy.DICTIONARY), zlib.adler32(spdy.DICTIONARY)) == (1423, 0xE3C6A7C2)


def test_frames_are_read_whole_and_byte_by_byte() -> None:
    content = conversation()
    assert spdy.Codec().feed(content) == FRAMES
    codec = spdy.Codec()
    assert [frame for byte in content for frame in codec.feed(bytes([byte]))] == FRAMES


def test_a_conversation_cut_short_gives_the_frames_before_the_cut() -> None:
    content = conversation()
    for end in range(len(content)):
        frames = spdy.Codec().feed(content[:end])
        assert frames == FRAMES[: len(frames)]


def test_a_header_block_that_inflates_too_far_is_refused() -> None:
    deflate = zlib.compressobj(zdict=spdy.DICTIONARY)
    block = deflate.compress(bytes(5_000_000)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    payload = (1).to_bytes(4, "big") + bytes(6) + block
    frame = bytes.fromhex("8003000100") + len(payload).to_bytes(3, "big") + payload
    with pytest.raises(spdy.SpdyError):
        spdy.Codec().feed(frame)


@pytest.mark.parametrize(
    "content",
    ["0000000100ffffff", "8002000100000000", "8003000100000004" + "00000001", "8003000100000012" + "00" * 18],
)
def test_broken_frames_are_refused(content: str) -> None:
    with pytest.raises(spdy.SpdyError):
        spdy.Codec().feed(bytes.fromhex(content))


@given(st.binary(max_size=80), st.integers(0, 120))
def test_damage_is_refused_or_read(noise: bytes, at: int) -> None:
    content = conversation()
    with contextlib.suppress(spdy.SpdyError):
        spdy.Codec().feed(content[:at] + noise + content[at + len(noise) :])
