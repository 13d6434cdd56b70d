"""HTTP messages as every server and client of knarr sees them: Request, Response and the upgraded Connection.

The servers (API, kubelet, registry, CRI streaming, node socket) are handlers `Request -> Response` run by
wire/http_server.py; the same types travel in process (client/inprocess.py). No I/O here.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from knarr.base.errors import TooLarge

Headers = tuple[tuple[str, str], ...]
"""Field names in lower case, in the order of arrival."""


class Connection(Protocol):
    """A raw duplex byte stream: what is left of an HTTP connection after an upgrade, or a socket dialled."""

    async def read(self) -> bytes:
        """The next bytes, b"" at the end. Reading pauses the transport while nobody asks: that is the backpressure."""
        ...

    async def write(self, content: bytes) -> None:
        """Send; returns when the transport's buffer has room again. Raises ConnectionError when the peer is gone."""
        ...

    async def close_write(self) -> None:
        """Say that no more comes (half-close), where the transport can."""
        ...

    def close(self) -> None:
        """Close once everything is sent."""
        ...

    def abort(self) -> None:
        """Close at once and drop what was not sent."""
        ...


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is on the other end: DER of the verified client certificate, and (pid, uid, gid) on a Unix socket."""

    address: str = ""
    certificate: bytes | None = None
    credentials: tuple[int, int, int] | None = None


@dataclass(slots=True)
class Request:
    """One request. `path` is still percent-encoded and has no query; `body` yields bounded chunks."""

    method: str
    path: str
    query: str = ""
    headers: Headers = ()
    body: AsyncIterator[bytes] | bytes = b""
    peer: Peer = field(default_factory=Peer)

    def header(self, name: str, default: str = "") -> str:
        """The first field of that lower-case name."""
        for key, value in self.headers:  # a loop: a generator costs three times as much, and every request asks often
            if key == name:
                return value
        return default

    def header_all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    async def read(self, limit: int) -> bytes:
        """The whole body; raises errors.TooLarge past `limit` bytes."""
        return await read_body(self.body, limit)


Upgraded = Callable[[Connection], Awaitable[None]]
"""Runs the connection after the 101 was sent; the server closes it when this returns."""


@dataclass(slots=True)
class Response:
    """One response. Bytes go out with their length, an iterator chunked; `upgrade` (with status 101) takes over."""

    status: int
    headers: Headers = ()
    body: bytes | AsyncIterator[bytes] = b""
    upgrade: Upgraded | None = None


class Followed:
    """A body that tells once when it is over: read to its end, failed, or closed, also when nobody ever read of it."""

    def __init__(self, source: AsyncIterator[bytes], ended: Callable[[], None]) -> None:
        self._source = source
        self._ended = ended
        self._is_over = False

    def __aiter__(self) -> "Followed":
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self._source.__anext__()
        except BaseException:  # the end as well
            self._end()
            raise

    async def aclose(self) -> None:
        try:
            closing = getattr(self._source, "aclose", None)
            if closing is not None:
                await closing()
        finally:
            self._end()

    def _end(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._ended()


Handler = Callable[[Request], Awaitable[Response]]


async def chunks(body: AsyncIterator[bytes] | bytes) -> AsyncIterator[bytes]:
    """The body as chunks, whichever form it has."""
    if isinstance(body, bytes):
        yield body
        return
    async for chunk in body:
        yield chunk


async def read_body(body: AsyncIterator[bytes] | bytes, limit: int) -> bytes:
    """All bytes of a body; raises errors.TooLarge past `limit`."""
    if isinstance(body, bytes):
        if len(body) > limit:
            raise TooLarge(f"the body is larger than {limit} bytes")
        return body
    chunks: list[bytes] = []
    size = 0
    async for chunk in body:
        size += len(chunk)
        if size > limit:
            raise TooLarge(f"the body is larger than {limit} bytes")
        chunks.append(chunk)
    return b"".join(chunks)
