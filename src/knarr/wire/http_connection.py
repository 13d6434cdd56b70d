"""One server-side HTTP/1.1 connection: requests in, one at a time to the handler, responses out.

Vocabulary: an *exchange* is one request with its response. Requests that the client pipelines wait, and reading stops
until their turn. Whatever is wrong with the framing ends the connection (RFC 9112, section 11.2): no byte after it is
interpreted. A handler is cancelled when its client is gone.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final

import httptools

from knarr.base import errors, logs
from knarr.wire import http, http_file, http_head, http_request, known_heads
from knarr.wire.connection import LOST, READ_AHEAD, UpgradedConnection
from knarr.wire.http_body import ArrivingBody
from knarr.wire.http_request import Exchange

if TYPE_CHECKING:
    from knarr.wire.http_server import Server

_log = logs.log("http")
WHOLE_BYTES_MAX: Final = 64 * 1024
"""Bodies up to this size that arrive at once go to the handler as they are."""
LINGER_SECONDS: Final = 2.0
"""How long what a client still sends is read and dropped, so that it can read the answer before a reset."""
_STATUS: Final[dict[type[Exception], int]] = {
    errors.TooLarge: 413,
    errors.BadRequest: 400,
    errors.DeadlineExceeded: 408,
}


class ServerConnection(asyncio.BufferedProtocol):
    """The protocol object of one accepted connection; see the module.

    Buffered: without a buffer of ours every read over TLS allocates, shrinks and frees one of 256 KiB, which costs
    three system calls and the page faults, a fifth of a small request."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._limits = server.limits
        self._whole_max = min(WHOLE_BYTES_MAX, server.limits.body_bytes or WHOLE_BYTES_MAX)
        self._loop = asyncio.get_running_loop()
        self._transport: Any = None
        self._peer = http.Peer()
        self._is_tls = self._is_lost = self._has_served = False
        self._parser: Any = httptools.HttpRequestParser(self)
        self._arriving: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._current: Exchange | None = None
        self._task: asyncio.Task[None] | None = None
        self._leftover: list[bytes] | None = None
        self._unframed = self._learnt = 0
        self._refusal: tuple[int, str] | None = None
        self._is_streaming = self._is_ending = self._is_lingering = False
        self._read_paused = self._at_end = False
        self._drained: asyncio.Future[None] | None = None
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    # -- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._is_tls = transport.get_extra_info("ssl_object") is not None
        if len(self._server.connections) >= self._limits.connections:
            self._transport.abort()
            return
        self._server.connections.add(self)
        self._peer = http_request.peer(transport)
        self._set_due(self._limits.header_seconds)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._server.received  # one for all: buffer_updated comes before the next read

    def buffer_updated(self, count: int) -> None:
        self._received(self._server.received[:count])

    def _received(self, content: memoryview) -> None:
        if self._is_lingering or self._refusal is not None:
            return
        if self._leftover is not None:
            self._leftover.append(bytes(content))
            self._balance()
            return
        message = b""
        if self._task is None and self._arriving is None and len(content) <= self._whole_max and not self._waiting:
            message = bytes(content)  # perhaps one whole request
            if self._took_known(message):
                return
        try:
            self._parser.feed_data(content)
        except httptools.HttpParserUpgrade as upgrade:
            self._leftover = [bytes(content[upgrade.args[0] :])]
            if self._waiting:
                self._waiting[-1].asked_upgrade = self._waiting[-1].is_last = True
            elif self._current is not None:
                self._current.asked_upgrade = self._current.is_last = True
        except (httptools.HttpParserError, http_request.Refused) as error:
            cause = error if isinstance(error, http_request.Refused) else error.__context__
            self._refuse(*(cause.args if isinstance(cause, http_request.Refused) else (400, "Bad Request")))
        else:
            self._check_unfinished_head(len(content))
            if message and self._has_served and self._learnt < known_heads.LEARNT_MAX:  # who asks once is not kept
                self._learn(message)
        if self._task is None and self._waiting:
            self._start_next()
        self._balance()

    def _took_known(self, message: bytes) -> bool:
        """Begin a request whose head came before, without the parser: it stands where the next message begins."""
        if (request := self._server.heads.request(message, self._peer)) is not None:
            self._begin(Exchange(), request, None)
        return request is not None

    def _learn(self, message: bytes) -> None:
        """Remember the head of a message that was one request and nothing else."""
        if self._arriving is None and len(self._waiting) == 1:
            request = self._waiting[0].request
            if request is not None and not self._waiting[0].is_last:
                self._learnt += 1
                self._server.heads.learn(message, request.headers)

    def eof_received(self) -> bool:
        self._at_end = True
        if self._arriving is not None and self._arriving.body is not None:
            self._arriving.body.fail(errors.BadRequest("the body was cut short"))
        if self._task is not None and not self._is_streaming:
            if self._current is not None:
                self._current.is_last = True
            return not self._is_tls  # answer what was asked, then close
        if self._task is not None:
            self._task.cancel()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._let_go()
        self.resume_writing()
        for exchange in (self._current, self._arriving, *self._waiting):
            if exchange is not None and exchange.body is not None:
                exchange.body.fail(errors.BadRequest("the body was cut short"))
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
        self.gone()

    def _let_go(self) -> None:
        """Drop timer and parser, which hold this object in cycles: it must die without the garbage collector."""
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._parser = None

    def gone(self) -> None:
        """The transport is lost; the server forgets the connection once its handler has cleaned up, too."""
        self._is_lost = True
        if self._task is None:
            self._forget()

    def _forget(self) -> None:
        # uvloop's TLS keeps this object's buffer methods for ever, so what refers to TLS is let go: a connection's
        # OpenSSL state (some 20 KiB) would wait for the garbage collector, which does not see its size.
        self._transport = LOST
        self._server.forget(self)

    def pause_writing(self) -> None:
        if self._drained is None:
            self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    # -- the parser's side

    def on_message_begin(self) -> None:
        self._arriving = Exchange()
        if self._task is None:
            self._set_due(self._limits.header_seconds)

    def on_url(self, target: bytes) -> None:
        assert self._arriving is not None
        self._arriving.target += target

    def on_header(self, name: bytes, value: bytes) -> None:
        exchange = self._arriving
        assert exchange is not None
        exchange.header_size += len(name) + len(value) + 4
        if not exchange.request:  # trailers of a chunked body are dropped
            exchange.headers.append((http_request.field_name(name), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        exchange = self._arriving
        assert exchange is not None
        self._unframed = 0
        if exchange.header_size + len(exchange.target) > self._limits.header_bytes:
            raise http_request.Refused(431, "Request Header Fields Too Large")
        version = self._parser.get_http_version()
        if version not in ("1.0", "1.1"):  # llhttp takes a line without a version for HTTP/0.9
            raise http_request.Refused(400, "Bad Request: unsupported version")
        exchange.is_old = version == "1.0"
        exchange.is_last = not self._parser.should_keep_alive()
        request = http_request.request(self._parser.get_method().decode("ascii"), exchange, self._peer)
        length, expects = http_request.framing(request, is_old=exchange.is_old)
        if length != 0:
            if expects or length is None or length > self._whole_max:
                self._begin_body(exchange, length, self._send_continue if expects else None)
            else:
                exchange.length = length
        exchange.request = request
        self._waiting.append(exchange)

    def on_body(self, content: bytes) -> None:
        exchange = self._arriving
        assert exchange is not None
        body = exchange.body
        if body is None:
            if exchange.length is None:
                raise http_request.Refused(400, "Bad Request")
            if len(content) == exchange.length:
                exchange.whole = content
                return
            body = self._begin_body(exchange, exchange.length)
        body.feed(content)
        limit = self._limits.body_bytes
        if limit is not None and body.received > limit:
            body.fail(errors.TooLarge(f"the body is larger than {limit} bytes"))
        if self._due is not None:
            self._set_due(self._limits.body_seconds)

    def _begin_body(
        self, exchange: Exchange, length: int | None, wanted: Callable[[], None] | None = None
    ) -> ArrivingBody:
        """The body will come in parts."""
        body = exchange.body = ArrivingBody(self._balance, wanted)
        limit = self._limits.body_bytes
        if limit is not None and length is not None and length > limit:
            body.fail(errors.TooLarge(f"the body is larger than {limit} bytes"))
        return body

    def on_message_complete(self) -> None:
        assert self._arriving is not None
        if self._arriving.body is not None:
            self._arriving.body.complete()
        self._arriving = None

    # -- exchanges

    def finish(self) -> None:
        """The server ends: answer the running request, end everything else."""
        self._is_ending = True
        if self._task is None:
            self._transport.close()
        elif self._is_streaming:
            self._task.cancel()

    def abort(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self._transport.abort()

    def _start_next(self) -> None:
        exchange = self._waiting.popleft()
        assert exchange.request is not None
        if exchange.whole is not None:
            exchange.request.body = exchange.whole
        elif exchange.length is not None and exchange.body is None:
            body = self._begin_body(exchange, exchange.length)
            if self._at_end or self._refusal is not None:
                body.fail(errors.BadRequest("the body was cut short"))
        if exchange.body is not None:
            exchange.request.body = exchange.body
            if exchange.body.is_complete and exchange.body._error is None:
                exchange.request.body = exchange.body.take_all()
        still_arriving = exchange.body is not None and not exchange.body.is_complete
        self._begin(exchange, exchange.request, self._limits.body_seconds if still_arriving else None)

    def _begin(self, exchange: Exchange, request: http.Request, due: float | None) -> None:
        self._current = exchange
        self._has_served = True
        self._set_due(due)
        self._task = self._loop.create_task(self._serve(exchange, request))

    async def _serve(self, exchange: Exchange, request: http.Request) -> None:
        try:
            try:
                response = await self._server.handler(request)
            except (errors.TooLarge, errors.BadRequest, errors.DeadlineExceeded) as error:
                response = http_head.plain(_STATUS[type(error)], str(error))
            except Exception:
                _log.exception("answered 500 %s", logs.fields(method=request.method, path=request.path))
                response = http_head.plain(500)
            self._set_due(None)
            try:
                await self._respond(exchange, request, response)
            except ConnectionError:
                exchange.is_last = True
            except Exception:
                _log.exception("broke off %s", logs.fields(method=request.method, path=request.path))
                self._transport.abort()
        finally:
            self._task = None
            self._current = None
            self._is_streaming = False
            if self._is_lost:
                self._forget()
        self._after(exchange)

    def _after(self, exchange: Exchange) -> None:
        """Decide what the connection does after a response: next request, linger, or close."""
        if self._transport.is_closing():
            return
        is_unread = exchange.body is not None and not exchange.body.is_complete
        if exchange.is_last or is_unread or self._is_ending:
            self._linger()
        elif self._waiting:
            self._start_next()
            self._balance()
        elif self._refusal is not None:
            self._send_refusal()
        elif self._at_end:
            self._transport.close()
        else:
            arriving = self._arriving is not None
            self._set_due(self._limits.header_seconds if arriving else self._limits.idle_seconds)
            self._balance()

    async def _respond(self, exchange: Exchange, request: http.Request, response: http.Response) -> None:
        if response.upgrade is not None and response.status == 101:
            await self._run_upgrade(exchange, response)
            return
        is_unread = exchange.body is not None and not exchange.body.is_complete
        if is_unread or self._is_ending or self._at_end:
            exchange.is_last = True
        extra = "connection: close\r\n" if exchange.is_last else "connection: keep-alive\r\n" if exchange.is_old else ""
        body = response.body
        if isinstance(body, bytes):
            if response.status not in http_head.NO_BODY and not http_request.has(response.headers, "content-length"):
                extra = f"content-length: {len(body)}\r\n{extra}"
            head = http_head.response_head(response.status, response.headers, extra)
            for piece in http_head.pieces(head, body if request.method != "HEAD" else b""):
                self._transport.write(piece)
                if self._drained is not None:
                    await self._until_drained()
            return
        await self._stream(exchange, request, response, body, extra)

    async def _stream(
        self,
        exchange: Exchange,
        request: http.Request,
        response: http.Response,
        body: AsyncIterator[bytes],
        extra: str,
    ) -> None:
        is_plain = http_request.has(response.headers, "content-length")
        if exchange.is_old and not is_plain:
            exchange.is_last, is_plain, extra = True, True, "connection: close\r\n"
        if not is_plain:
            extra = f"transfer-encoding: chunked\r\n{extra}"
        try:
            head = http_head.response_head(response.status, response.headers, extra)
            self._is_streaming = request.method != "HEAD"
            if self._is_streaming and isinstance(body, http_file.FileBody) and await self._send_file(head, body):
                return
            self._transport.write(head)
            if not self._is_streaming:
                return
            async for content in body:
                if content:
                    self._transport.write(content if is_plain else http_head.chunk(content))
                    if self._drained is not None:
                        await self._until_drained()
            if not is_plain:
                self._transport.write(http_head.LAST_CHUNK)
        except BaseException:
            self._transport.abort()  # cut short: the client must not take it for the whole
            raise
        finally:
            closing = getattr(body, "aclose", None)
            if closing is not None:
                await closing()

    async def _send_file(self, head: bytes, body: http_file.FileBody) -> bool:
        """Let the kernel send head and file, if nothing else is on its way to this socket; False if it did not."""
        await asyncio.sleep(0)  # uvloop writes at the end of a turn
        if self._is_tls or self._transport.is_closing() or self._transport.get_write_buffer_size():
            return False
        descriptor = self._transport.get_extra_info("socket").fileno()
        return await http_file.send(descriptor, head, body, self._limits.write_seconds)

    async def _until_drained(self) -> None:
        """Wait for a client that reads slowly; one that does not read at all is given up."""
        try:
            async with asyncio.timeout(self._limits.write_seconds):
                while self._drained is not None:
                    await asyncio.shield(self._drained)
        except TimeoutError:
            self._transport.abort()
            raise ConnectionResetError("the client does not read") from None

    async def _run_upgrade(self, exchange: Exchange, response: http.Response) -> None:
        assert response.upgrade is not None
        exchange.is_last = True
        self._is_streaming = True
        self._let_go()
        self._transport.write(http_head.response_head(101, response.headers))
        connection = UpgradedConnection(self.gone, b"".join(self._leftover or ()))
        self._leftover = None
        connection.adopt(self._transport, at_end=self._at_end)
        try:
            await response.upgrade(connection)
        except ConnectionError:
            pass  # the client left; the upgrade's owner has cleaned up
        finally:
            connection.close()

    # -- ends and limits

    def _check_unfinished_head(self, size: int) -> None:
        if self._arriving is not None and self._arriving.request is None:
            self._unframed += size
            if self._unframed > self._limits.header_bytes:
                self._refuse(431, "Request Header Fields Too Large")

    def _refuse(self, status: int, message: str) -> None:
        self._refusal = (status, message)
        if self._arriving is not None and self._arriving.body is not None:
            self._arriving.body.fail(errors.BadRequest("the body's framing is broken"))
        if self._task is None and not self._waiting:
            self._send_refusal()

    def _send_refusal(self) -> None:
        assert self._refusal is not None
        response = http_head.plain(*self._refusal)
        assert isinstance(response.body, bytes)
        extra = f"content-length: {len(response.body)}\r\nconnection: close\r\n"
        self._transport.write(http_head.response_head(response.status, response.headers, extra) + response.body)
        self._linger()

    def _linger(self) -> None:
        """Send what is left, then read and drop for a moment: an early reset would take the response away."""
        self._is_lingering = True
        if self._at_end or self._is_ending or (self._arriving is None and self._refusal is None):
            self._transport.close()
            return
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._set_due(LINGER_SECONDS)
        self._balance()

    def _balance(self) -> None:
        """Read on, or hold the client back: while requests wait, or the reader of a body is behind."""
        exchange = self._current
        body = exchange.body if exchange is not None else None
        if body is None and not self._waiting and self._leftover is None and not self._read_paused:
            return  # nearly always: a request that came whole, and nothing behind it
        wants_pause = not self._is_lingering and (
            bool(self._waiting)
            or (body is not None and body.is_ahead)
            or (self._leftover is not None and sum(map(len, self._leftover)) > READ_AHEAD)
        )
        if wants_pause != self._read_paused and not self._transport.is_closing():
            self._read_paused = wants_pause
            if wants_pause:
                self._transport.pause_reading()
            else:
                self._transport.resume_reading()

    def _send_continue(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _set_due(self, seconds: float | None) -> None:
        """Move the one deadline of this connection; the timer looks at it when it fires, so moving is free."""
        if seconds is None:
            self._due = None
            return
        self._due = self._loop.time() + seconds
        if self._timer is None:
            self._timer = self._loop.call_at(self._due, self._on_timer)
        elif self._timer.when() > self._due + 1.0:
            self._timer.cancel()
            self._timer = self._loop.call_at(self._due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._due is None or self._transport.is_closing():
            return
        if self._due > self._loop.time():
            self._timer = self._loop.call_at(self._due, self._on_timer)
        elif self._current is not None and self._current.body is not None:
            self._current.body.fail(errors.DeadlineExceeded("the request's body did not arrive in time"))
        else:
            self._transport.abort()
