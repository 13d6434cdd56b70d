"""An HTTP/1.1 client on asyncio: TCP, TLS and Unix sockets, kept-alive connections, streaming bodies, upgrades.

It speaks to one server after another as told by a `Target`; it follows no redirect, keeps no cookie and adds no
credentials. Failures are Unavailable (no connection, or it broke) and DeadlineExceeded (connect, response head).
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import httptools

from knarr.base import errors
from knarr.wire import connection, http, http_head
from knarr.wire.http_body import ArrivingBody

IDLE_SECONDS: Final = 55.0
"""Younger than any server's own limit, so that a kept connection is seldom closed under a request."""
IDLE_PER_TARGET: Final = 64
HEAD_BYTES_MAX: Final = 256 * 1024
SPARE_SECONDS: Final = 0.25
"""How long a spare connection waits for the end of the stream before: its handshake would hold up a short command."""
SAFE_TO_REPEAT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


@dataclass(frozen=True)
class Target:
    """Where to: host and port, or the path of a Unix socket; `tls` makes it HTTPS (`server_name` if it is not host)."""

    host: str = "localhost"
    port: int = 0
    tls: ssl.SSLContext | None = None
    unix_path: str = ""
    server_name: str = ""

    @property
    def authority(self) -> str:
        """The Host header's value."""
        default = 443 if self.tls is not None else 80
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.unix_path or self.port in (0, default) else f"{name}:{self.port}"


class ClientResponse:
    """Status and headers are here; the body still arrives. Read it to its end, or `close`."""

    def __init__(self, status: int, headers: http.Headers, body: ArrivingBody, owner: "_ClientConnection") -> None:
        self.status = status
        self.headers = headers
        self._body = body
        self._owner = owner

    def header(self, name: str, default: str = "") -> str:
        """The first field of that lower-case name."""
        return next((value for key, value in self.headers if key == name), default)

    def header_all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    async def read(self, limit: int) -> bytes:
        """The whole body; raises TooLarge past `limit` bytes (and drops the connection)."""
        try:
            return await http.read_body(self._body, limit)
        finally:
            self.close()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body in pieces as they arrive; leaving early drops the connection."""
        try:
            async for content in self._body:
                yield content
        finally:
            self.close()

    def body(self) -> http.Followed:
        """The same for a response that is passed on: closing it closes this, also before any of it was read."""
        return http.Followed(self.chunks(), self.close)

    def close(self) -> None:
        """Done with it: the connection is dropped unless the body was complete."""
        self._owner.abandon(self._body)


class Client:
    """Keeps idle connections per target. One instance serves any number of concurrent requests.

    With `keeps_spare` an upgrade, which uses its connection up, is followed by opening another one, when its stream is
    over or has lasted `spare_seconds`: where upgrades come one after another (kubectl exec), the next finds TCP and TLS
    set up.
    """

    def __init__(
        self,
        *,
        connect_seconds: float = 10.0,
        head_seconds: float = 60.0,
        keeps_spare: bool = False,
        spare_seconds: float = SPARE_SECONDS,
    ) -> None:
        self._connect_seconds = connect_seconds
        self._spare_seconds = spare_seconds
        self._head_seconds = head_seconds
        self._idle: dict[Target, list[_ClientConnection]] = {}
        self._open: set[_ClientConnection] = set()
        self._closing: asyncio.Future[None] | None = None
        self._keeps_spare = keeps_spare
        self._dialling: dict[Target, asyncio.Task[None]] = {}

    async def request(
        self, target: Target, request: http.Request, *, head_seconds: float | None = None
    ) -> ClientResponse:
        """Send a request; returns when the response's head is here. `host` and framing fields are added if absent."""
        seconds = self._head_seconds if head_seconds is None else head_seconds
        kept = self._take_idle(target)
        if kept is not None:
            try:
                return await kept.exchange(request, seconds)
            except _Stale:
                if request.method not in SAFE_TO_REPEAT or not isinstance(request.body, bytes):
                    raise errors.Unavailable(f"{_name(target)}: the connection was closed") from None
        try:
            return await (await self._connect(target)).exchange(request, seconds)
        except _Stale:
            raise errors.Unavailable(f"{_name(target)}: closed the connection without an answer") from None

    async def upgrade(
        self, target: Target, request: http.Request, *, head_seconds: float | None = None
    ) -> tuple[ClientResponse, http.Connection | None]:
        """Send a request that asks to upgrade; the raw stream is there if and only if the answer was 101."""
        seconds = self._head_seconds if head_seconds is None else head_seconds
        used, response = await self._exchanged(target, request, seconds)
        if response.status != 101:
            return response, None
        stream = used.release()
        if self._keeps_spare and not self._idle.get(target) and target not in self._dialling:
            self._dialling[target] = asyncio.create_task(self._dial_spare(target, stream.over), name="spare connection")
        return response, stream

    async def _exchanged(
        self, target: Target, request: http.Request, seconds: float
    ) -> "tuple[_ClientConnection, ClientResponse]":
        """A connection and its response to an upgrade request."""
        kept = self._take_idle(target)
        if kept is not None:
            with contextlib.suppress(_Stale):  # a server answers before it acts on an upgrade: nothing has happened
                return kept, await kept.exchange(request, seconds)
        fresh = await self._connect(target)
        try:
            return fresh, await fresh.exchange(request, seconds)
        except _Stale:
            raise errors.Unavailable(f"{_name(target)}: closed the connection without an answer") from None

    async def _dial_spare(self, target: Target, over: asyncio.Event) -> None:
        """Open a connection for the next upgrade when the stream before is over, or is none that ends at once."""
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._spare_seconds):
                    await over.wait()
            if self._idle.get(target):
                return
            with contextlib.suppress(errors.KnarrError):  # whoever needs the next one dials, and is told what is wrong
                self.keep(await self._connect(target))
        finally:
            del self._dialling[target]

    async def close(self) -> None:
        """Drop every connection; responses that still arrive fail. Returns once the sockets are closed."""
        for dialling in list(self._dialling.values()):
            dialling.cancel()
        await asyncio.gather(*self._dialling.values(), return_exceptions=True)
        self._idle.clear()
        for open_connection in list(self._open):
            open_connection.transport.abort()
        while self._open:
            self._closing = asyncio.get_running_loop().create_future()
            await self._closing

    async def _connect(self, target: Target) -> "_ClientConnection":
        stream = await connection.dial(
            target.host,
            target.port,
            unix_path=target.unix_path,
            tls=target.tls,
            server_name=target.server_name,
            seconds=self._connect_seconds,
        )
        return _ClientConnection(self, target, stream)

    def _take_idle(self, target: Target) -> "_ClientConnection | None":
        kept = self._idle.get(target)
        while kept:
            candidate = kept.pop()
            candidate.stop_timer()
            if not candidate.transport.is_closing():
                return candidate
        return None

    def keep(self, free: "_ClientConnection") -> None:
        """Take a connection back whose exchange is complete."""
        kept = self._idle.setdefault(free.target, [])
        if len(kept) >= IDLE_PER_TARGET:
            free.transport.close()
            return
        kept.append(free)
        free.start_timer(IDLE_SECONDS)

    def opened(self, new: "_ClientConnection") -> None:
        self._open.add(new)

    def lost(self, gone: "_ClientConnection") -> None:
        self._open.discard(gone)
        if self._closing is not None and not self._closing.done():
            self._closing.set_result(None)
        kept = self._idle.get(gone.target, [])
        if gone in kept:
            kept.remove(gone)


class _Stale(Exception):
    """The connection ended before the first byte of a response."""


class _Exchange:
    """One request and its response on one connection; the response parser's callbacks are its methods."""

    def __init__(self, owner: "_ClientConnection", method: str) -> None:
        self.owner = owner
        self.method = method
        self.parser: Any = httptools.HttpResponseParser(self)
        self.status = 0
        self.head: asyncio.Future[ClientResponse] = asyncio.get_running_loop().create_future()
        self.headers: list[tuple[str, str]] = []
        self.body = ArrivingBody(owner.balance)
        self.head_bytes = 0
        self.has_begun = self.is_complete = self.is_kept = self.has_framing = self.was_sent = False

    def on_message_begin(self) -> None:
        self.headers.clear()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.head.done():
            self.headers.append((name.lower().decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        status = self.parser.get_status_code()
        if status < 200 and status != 101:
            return
        self.status = status
        self.is_kept = self.parser.should_keep_alive()
        self.has_framing = any(name in ("content-length", "transfer-encoding") for name, _ in self.headers)
        if not self.head.done():
            self.head.set_result(ClientResponse(status, tuple(self.headers), self.body, self.owner))
        if self.method == "HEAD" or status in (101, *http_head.NO_BODY):
            self._completed()

    def on_body(self, content: bytes) -> None:
        self.body.feed(content)

    def on_message_complete(self) -> None:
        if self.head.done() and (self.has_framing or self.is_kept):
            self._completed()

    def ended(self) -> None:
        """The server closed the connection."""
        if self.head.done() and not self.has_framing:
            self._completed()

    def _completed(self) -> None:
        if not self.is_complete:
            self.is_complete = True
            self.parser = None  # it holds this object: nothing here may need the garbage collector
            self.body.complete()
            self.owner.completed(self)


class _ClientConnection(asyncio.Protocol):
    """One connection: at most one exchange at a time."""

    def __init__(self, client: Client, target: Target, stream: connection.StreamConnection) -> None:
        self.client = client
        self.target = target
        self.transport: Any = stream.transport
        self.current: _Exchange | None = None
        self._drained: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._read_paused = False
        self._leftover = b""
        self._at_end = False
        self._is_tls = self.transport.get_extra_info("ssl_object") is not None
        client.opened(self)
        self.transport.set_protocol(self)

    async def exchange(self, request: http.Request, seconds: float) -> ClientResponse:
        """Send the request while listening for the response (which may come early); returns at its head."""
        current = self.current = _Exchange(self, request.method)
        try:
            async with asyncio.timeout(seconds):
                if isinstance(request.body, bytes):
                    await self._send(request, current)
                else:
                    await self._send_until_answered(request, current)
                return await current.head
        except TimeoutError as error:
            self.transport.abort()
            raise errors.DeadlineExceeded(f"{_name(self.target)}: no answer within {seconds:g} s") from error
        except ConnectionError as error:
            if current.head.done() and current.head.exception() is None:
                return current.head.result()
            self.transport.abort()
            raise _Stale from error
        except BaseException:
            self.transport.abort()
            raise

    async def _send_until_answered(self, request: http.Request, exchange: _Exchange) -> None:
        """Send a body that is made as it goes; a server that has answered wants no more of it."""
        sending = asyncio.ensure_future(self._send(request, exchange))
        try:
            first: set[asyncio.Future[Any]] = {sending, exchange.head}
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            if not exchange.head.done():
                await sending
        finally:
            if not sending.done():
                sending.cancel()
            elif not sending.cancelled():
                sending.exception()  # seen: the answer explains it

    async def _send(self, request: http.Request, exchange: _Exchange) -> None:
        await self._send_parts(request)
        exchange.was_sent = True

    async def _send_parts(self, request: http.Request) -> None:
        body = request.body
        names = {name for name, _ in request.headers}
        fields = request.headers if "host" in names else (("host", self.target.authority), *request.headers)
        is_chunked = False
        if isinstance(body, bytes):
            if "content-length" not in names and (body or request.method in ("POST", "PUT", "PATCH")):
                fields = (*fields, ("content-length", str(len(body))))
            await self._write(http_head.request_head(request.method, request.path, request.query, fields) + body)
            return
        if "content-length" not in names:
            is_chunked = True
            fields = (*fields, ("transfer-encoding", "chunked"))
        await self._write(http_head.request_head(request.method, request.path, request.query, fields))
        async for content in body:
            if content:
                await self._write(http_head.chunk(content) if is_chunked else content)
        if is_chunked:
            await self._write(http_head.LAST_CHUNK)

    async def _write(self, content: bytes) -> None:
        if self.transport.is_closing():
            raise ConnectionResetError("the server closed the connection")
        self.transport.write(content)
        if self._drained is not None:
            await self._drained

    def completed(self, exchange: _Exchange) -> None:
        """The response is whole: keep the connection, hand it over (101), or close it."""
        if exchange is not self.current or exchange.status == 101:
            return
        self.current = None
        # An answer before the request's end leaves the connection in the middle of that request.
        if exchange.is_kept and exchange.was_sent and not self._at_end and not self.transport.is_closing():
            self.balance()
            self.client.keep(self)
        else:
            self.transport.close()

    def abandon(self, body: ArrivingBody) -> None:
        """The reader of that body wants no more of it."""
        if self.current is not None and self.current.body is body and not body.is_complete:
            self.transport.abort()

    def release(self) -> "_Stream":
        """After 101: the raw stream with what came behind the response's head."""
        stream = _Stream(self._leftover)
        self.current = None
        self.client.lost(self)
        stream.adopt(self.transport, at_end=self._at_end)
        return stream

    def data_received(self, content: bytes) -> None:
        exchange = self.current
        if exchange is None:  # bytes that nobody asked for
            self.transport.abort()
            return
        if exchange.is_complete:  # behind a 101
            self._leftover += content
            return
        exchange.has_begun = True
        try:
            exchange.parser.feed_data(content)
        except httptools.HttpParserUpgrade as upgrade:
            self._leftover += content[upgrade.args[0] :]
        except httptools.HttpParserError as error:
            self._fail(errors.Unavailable(f"{_name(self.target)}: no valid HTTP response ({error})"))
            return
        if not exchange.head.done():
            exchange.head_bytes += len(content)
            if exchange.head_bytes > HEAD_BYTES_MAX:
                self._fail(errors.Unavailable(f"{_name(self.target)}: the response's head is too large"))
        self.balance()

    def eof_received(self) -> bool:
        self._at_end = True
        if self.current is not None and self.current.is_complete:
            return not self._is_tls  # a 101 about to be released
        if self.current is not None:
            self.current.ended()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._at_end = True
        self.stop_timer()
        self.client.lost(self)
        self.resume_writing()
        if self.current is not None:
            self.current.ended()
        if self.current is not None:
            self._fail(errors.Unavailable(f"{_name(self.target)}: the connection broke off"))

    def pause_writing(self) -> None:
        if self._drained is None:
            self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def balance(self) -> None:
        wants_pause = self.current is not None and self.current.body.is_ahead
        if wants_pause != self._read_paused and not self.transport.is_closing():
            self._read_paused = wants_pause
            if wants_pause:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def start_timer(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self.transport.close)

    def stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fail(self, error: Exception) -> None:
        exchange, self.current = self.current, None
        self.transport.abort()
        if exchange is None:
            return
        exchange.parser = None
        exchange.body.fail(error)
        if not exchange.head.done():
            exchange.head.set_exception(error if exchange.has_begun else _Stale())
            exchange.head.exception()  # seen: the waiter may have left already


class _Stream(connection.StreamConnection):
    """What an upgrade leaves over; `over` is set once it is closed."""

    def __init__(self, leftover: bytes) -> None:
        super().__init__(leftover)
        self.over = asyncio.Event()

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.over.set()


def _name(target: Target) -> str:
    return f"unix:{target.unix_path}" if target.unix_path else f"{target.host}:{target.port}"
