"""The head of an HTTP/1.1 message as bytes: status line or request line, and fields. Pure; RFC 9112.

A head that a value could split (CR or LF inside) is refused with ValueError: that is a fault of the program, never
something to send.
"""

import http as standard
import time
from collections.abc import Sequence
from email.utils import formatdate
from typing import Final

from knarr.wire.http import Headers, Response

REASONS: Final = {status.value: status.phrase for status in standard.HTTPStatus}
PIECE_BYTES: Final = 256 * 1024
"""What is written at once: under TLS a transport holds twice as much before it wants a pause."""
NO_BODY: Final = frozenset({204, 304})
_STATUS_LINES: Final = {code: f"HTTP/1.1 {code} {phrase}\r\n" for code, phrase in REASONS.items()}
_date: tuple[int, str] = (0, "")


def date() -> str:
    """The Date field's value, formatted once a second."""
    global _date
    now = int(time.time())
    if _date[0] != now:
        _date = (now, formatdate(now, usegmt=True))
    return _date[1]


def response_head(status: int, headers: Headers, extra: str = "") -> bytes:
    """Status line, Date, `headers` and `extra` (fields that the server itself adds, each ended by CRLF)."""
    line = _STATUS_LINES.get(status) or f"HTTP/1.1 {status} Unknown\r\n"
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if fields.count("\n") != len(headers) or fields.count("\r") != len(headers):
        raise ValueError("a response header contains a line break")
    return f"{line}date: {date()}\r\n{fields}{extra}\r\n".encode()


def pieces(head: bytes, body: bytes) -> Sequence[bytes | memoryview]:
    """A message in the pieces in which it is written. The client reads the first of a long one while the next ones are
    encrypted, and all of them are in the same memory on their way."""
    if len(body) <= PIECE_BYTES:
        return (head + body,)
    rest = memoryview(body)
    return head + body[:PIECE_BYTES], *(
        rest[at : at + PIECE_BYTES] for at in range(PIECE_BYTES, len(body), PIECE_BYTES)
    )


def request_head(method: str, path: str, query: str, headers: Headers) -> bytes:
    """Request line and fields; the caller gives Host and framing."""
    target = f"{path}?{query}" if query else path
    line = f"{method} {target} HTTP/1.1\r\n"
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if (
        fields.count("\n") != len(headers)
        or fields.count("\r") != len(headers)
        or any(character <= " " or character == "\x7f" for character in method + target)
    ):
        raise ValueError("a request line or header contains a space or line break")
    return f"{line}{fields}\r\n".encode()


def chunk(content: bytes) -> bytes:
    """One chunk of the chunked coding."""
    return b"%x\r\n%b\r\n" % (len(content), content)


LAST_CHUNK: Final = b"0\r\n\r\n"


def plain(status: int, message: str = "") -> Response:
    """A short text/plain response, as Go's net/http gives on its own account."""
    text = f"{status} {message or REASONS.get(status, '')}\n"
    return Response(status, (("content-type", "text/plain; charset=utf-8"),), text.encode())
