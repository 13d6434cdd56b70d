"""SPDY/3.1 frames, without I/O: bytes in, frames out, and the frames that a server or a client sends.

Enough of the protocol for Kubernetes' streaming (COMPAT row 12): SYN_STREAM, SYN_REPLY, RST_STREAM, PING, GOAWAY, data.
Flow control windows are not kept: the clients ignore them, and the transport's backpressure takes their place.
Specification: SPDY Protocol, Draft 3.1.
"""

import zlib
from dataclasses import dataclass
from typing import Final

FRAME_MAX: Final = 1024 * 1024
HEADERS_MAX: Final = 64 * 1024
"""Bytes of one header block after inflating."""
SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FIN: Final = 1
PROTOCOL_ERROR, REFUSED_STREAM, CANCEL = 1, 3, 5
_VERSION: Final = 0x8003
_WORDS: Final = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status|200 OK|version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_TAIL: Final = (
    "1001012012022052063003023033043053063074024054064074084094104114124134144154164175025045052"
    "03 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _dictionary() -> bytes:
    parts = _WORDS.split("|")
    words = [*parts[0].split(), parts[1], *parts[2].split()]
    return b"".join(len(word).to_bytes(4, "big") + word.encode() for word in words) + _TAIL.encode()


DICTIONARY: Final = _dictionary()
"""What both sides' header compression starts from (1,423 bytes, section 2.6.10.1)."""


class SpdyError(Exception):
    """The client broke the protocol; the session ends."""


@dataclass(frozen=True, slots=True)
class Opened:
    """SYN_STREAM: a new stream with its headers (names in lower case)."""

    stream: int
    headers: dict[str, str]
    is_final: bool


@dataclass(frozen=True, slots=True)
class Received:
    """Bytes of a stream; `is_final` closes the client's side of it."""

    stream: int
    content: bytes
    is_final: bool


@dataclass(frozen=True, slots=True)
class Reset:
    stream: int
    status: int


@dataclass(frozen=True, slots=True)
class Pinged:
    identifier: bytes


@dataclass(frozen=True, slots=True)
class Leaving:
    """GOAWAY: the client opens no more streams."""


Frame = Opened | Received | Reset | Pinged | Leaving


class Codec:
    """One side of a connection; compression contexts make it stateful."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def feed(self, content: bytes) -> list[Frame]:
        """The frames that are complete now. Raises SpdyError."""
        self._buffer += content
        frames: list[Frame] = []
        position = 0
        while len(self._buffer) - position >= 8:
            head = self._buffer[position : position + 8]
            size = int.from_bytes(head[5:8], "big")
            if size > FRAME_MAX:
                raise SpdyError(f"a frame of {size} bytes")
            if len(self._buffer) - position - 8 < size:
                break
            payload = bytes(self._buffer[position + 8 : position + 8 + size])
            position += 8 + size
            frame = self._frame(bytes(head), payload)
            if frame is not None:
                frames.append(frame)
        del self._buffer[:position]
        return frames

    def reply(self, stream: int) -> bytes:
        """SYN_REPLY without headers."""
        block = self._deflate.compress(bytes(4)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _control(SYN_REPLY, 0, stream.to_bytes(4, "big") + block)

    def open(self, stream: int, headers: dict[str, str]) -> bytes:
        """SYN_STREAM: a new stream with its headers (names in lower case)."""
        texts = [text.encode("latin-1") for pair in headers.items() for text in pair]
        plain = len(headers).to_bytes(4, "big") + b"".join(len(text).to_bytes(4, "big") + text for text in texts)
        block = self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _control(SYN_STREAM, 0, stream.to_bytes(4, "big") + bytes(6) + block)

    def _frame(self, head: bytes, payload: bytes) -> Frame | None:
        flags = head[4]
        if not head[0] & 0x80:
            return Received(int.from_bytes(head[:4], "big"), payload, bool(flags & FIN))
        if int.from_bytes(head[:2], "big") != _VERSION:
            raise SpdyError("not SPDY version 3")
        kind = int.from_bytes(head[2:4], "big")
        least = {SYN_STREAM: 10, SYN_REPLY: 4, RST_STREAM: 8, PING: 4, HEADERS: 4}.get(kind, 0)
        if len(payload) < least:
            raise SpdyError(f"a control frame {kind} of {len(payload)} bytes")
        number = int.from_bytes(payload[:4], "big") & 0x7FFFFFFF
        match kind:
            case 1:
                return Opened(number, self._headers(payload[10:]), bool(flags & FIN))
            case 2 | 8:
                self._headers(payload[4:])  # keeps the compression context right
                return Received(number, b"", True) if flags & FIN else None
            case 3:
                return Reset(number, int.from_bytes(payload[4:8], "big"))
            case 6:
                return Pinged(payload[:4])
            case 7:
                return Leaving()
        return None  # SETTINGS, WINDOW_UPDATE and what is not known

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._inflate.decompress(block, HEADERS_MAX)
        except zlib.error as error:
            raise SpdyError(f"headers: {error}") from error
        if self._inflate.unconsumed_tail or len(plain) < 4:
            raise SpdyError("headers: too long or cut short")
        count, position = int.from_bytes(plain[:4], "big"), 4
        texts: list[str] = []
        for _ in range(min(count, HEADERS_MAX) * 2):
            size = int.from_bytes(plain[position : position + 4], "big")
            position += 4 + size
            if position > len(plain):
                raise SpdyError("headers: cut short")
            texts.append(plain[position - size : position].decode("latin-1"))
        return {name.lower(): value for name, value in zip(texts[::2], texts[1::2], strict=True)}


def data(stream: int, content: bytes, *, is_final: bool = False) -> bytes:
    """A data frame; the caller keeps content below FRAME_MAX."""
    return stream.to_bytes(4, "big") + bytes([FIN if is_final else 0]) + len(content).to_bytes(3, "big") + content


def reset(stream: int, status: int) -> bytes:
    return _control(RST_STREAM, 0, stream.to_bytes(4, "big") + status.to_bytes(4, "big"))


def pong(identifier: bytes) -> bytes:
    return _control(PING, 0, identifier)


def goaway(last_stream: int) -> bytes:
    return _control(GOAWAY, 0, last_stream.to_bytes(4, "big") + bytes(4))


def _control(kind: int, flags: int, payload: bytes) -> bytes:
    head = _VERSION.to_bytes(2, "big") + kind.to_bytes(2, "big") + bytes([flags])
    return head + len(payload).to_bytes(3, "big") + payload
