"""Heads that came before: a client on a kept connection sends the same header fields with every request.

What llhttp and http_request.py made of a block of fields is kept by the block's bytes, the digits of the body's length
left out. A message with a known block, a plain request line and its whole body is not parsed again, which saves half of
what reading it costs. Everything else goes to the parser, which alone decides what is well formed. Blocks hold
credentials: they stay in this process's memory until newer ones take their room.
Vocabulary: a *block* is a head without its request line.
"""

import re
from typing import Final, NamedTuple

from knarr.wire import http

BLOCKS_MAX: Final = 512
HEAD_BYTES_MAX: Final = 2048
FIELDS_MAX: Final = 32
"""Heads longer than these are parsed each time: all that is kept stays below 4 MB."""
LEARNT_MAX: Final = 64
"""Blocks that one connection may add: who sends a new field with each request would push out all others'."""
_LENGTH: Final = b"\r\nContent-Length: "
# The characters that RFC 3986 lets a path and a query have.
_LINE: Final = re.compile(
    rb"(GET|POST|PUT|PATCH|DELETE) "
    rb"(/[0-9A-Za-z\-._~%!$&'()*+,;=:@/]*)(?:\?([0-9A-Za-z\-._~%!$&'()*+,;=:@/?]*))? HTTP/1\.1"
)
# Fields that change what follows the head.
_DECISIVE: Final = frozenset(("connection", "expect", "transfer-encoding", "upgrade"))


class _Block(NamedTuple):
    """What a block says: its fields, and where the length is among them (None: the block has no digits left out)."""

    headers: http.Headers
    length_at: int | None
    length: int


class _Parts(NamedTuple):
    line: re.Match[bytes]
    block: bytes
    digits: bytes
    body: bytes


class KnownHeads:
    """The blocks that one server knows."""

    def __init__(self) -> None:
        self._blocks: dict[bytes, _Block] = {}

    def __len__(self) -> int:
        return len(self._blocks)

    def request(self, message: bytes, sender: http.Peer) -> http.Request | None:
        """The request that these bytes are, if they are one whole message whose block is known."""
        parts = _parts(message)
        if parts is None:
            return None
        line, key, digits, body = parts
        block = self._blocks.get(key)
        if block is None:
            return None
        headers, at, length = block
        if at is not None:
            length = int(digits)
            headers = (*headers[:at], ("content-length", digits.decode("ascii")), *headers[at:])
        if length != len(body):
            return None
        method, path, query = line.groups(b"")
        return http.Request(method.decode("ascii"), path.decode("ascii"), query.decode("ascii"), headers, body, sender)

    def learn(self, message: bytes, headers: http.Headers) -> None:
        """Keep the block of a message that the parser took whole, alone and to its end."""
        parts = _parts(message)
        if parts is None or not _is_plain(headers):
            return
        names = [name for name, _ in headers]
        declared = int(headers[names.index("content-length")][1]) if "content-length" in names else 0
        if declared != len(parts.body):  # a parser skips empty lines between messages: they are nobody's body
            return
        if len(self._blocks) >= BLOCKS_MAX:
            del self._blocks[next(iter(self._blocks))]
        if parts.digits:
            at = names.index("content-length")
            self._blocks[parts.block] = _Block((*headers[:at], *headers[at + 1 :]), at, 0)
        else:
            self._blocks[parts.block] = _Block(headers, None, declared)


def _is_plain(headers: http.Headers) -> bool:
    """Whether the fields say nothing but the length of what follows them."""
    names = [name for name, value in headers if (name, value.lower()) != ("connection", "keep-alive")]
    return len(headers) <= FIELDS_MAX and _DECISIVE.isdisjoint(names) and names.count("content-length") <= 1


def _parts(message: bytes) -> _Parts | None:
    """A message cut in pieces; None when it is not one that may be known."""
    start = message.find(b"\r\n")
    end = message.find(b"\r\n\r\n", start, HEAD_BYTES_MAX)
    if end < 0:
        return None
    line = _LINE.fullmatch(message, 0, start)
    if line is None:
        return None
    at = message.find(_LENGTH, start, end)
    if at < 0:
        return _Parts(line, message[start:end], b"", message[end + 4 :])
    at += len(_LENGTH)
    stop = message.find(b"\r\n", at)
    digits = message[at:stop]
    if not digits.isdigit() or len(digits) > 9:
        return None
    return _Parts(line, message[start:at] + message[stop:end], digits, message[end + 4 :])
