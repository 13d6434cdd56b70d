"""A raw byte stream on an asyncio transport: what an upgrade leaves over, and what `dial` opens.

`StreamConnection` implements http.Connection with backpressure both ways: it stops reading when the reader is
READ_AHEAD bytes behind, and `write` waits while the transport's buffer is full. It knows no protocol above bytes.
"""

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from knarr.base.errors import DeadlineExceeded, Unavailable

READ_AHEAD: Final = 256 * 1024
"""Bytes kept for a reader that is late; more stay in the kernel's buffer and so with the sender."""


class _Lost(asyncio.Transport):
    """What stands for the transport of a connection that is over."""

    def is_closing(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Nobody reads it."""

    def close(self) -> None:
        """It is."""

    def abort(self) -> None:
        """It is closed."""


LOST: Final = _Lost()


class StreamConnection(asyncio.Protocol):
    """One reader and any number of writers; `read` and `write` as http.Connection says."""

    def __init__(self, leftover: bytes = b"") -> None:
        self._transport: Any = None
        self._chunks: deque[bytes] = deque([leftover] if leftover else [])
        self._size = len(leftover)
        self._at_end = False
        self._lost = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._read_paused = False
        self._is_tls = False  # kept: a TLS transport that is closed cannot be asked any more

    def adopt(self, transport: Any, *, at_end: bool = False) -> None:
        """Take over a transport that another protocol used so far."""
        self.connection_made(transport)
        self._at_end = at_end
        # Paused, because uvloop reads on into the buffer of the protocol before until reading begins anew.
        with contextlib.suppress(RuntimeError):
            transport.pause_reading()
        transport.set_protocol(self)
        with contextlib.suppress(RuntimeError):
            transport.resume_reading()

    @property
    def transport(self) -> Any:
        return self._transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._is_tls = transport.get_extra_info("ssl_object") is not None

    def data_received(self, content: bytes) -> None:
        self._chunks.append(bytes(content))
        self._size += len(content)
        if self._size > READ_AHEAD and not self._read_paused:
            self._read_paused = True
            self._transport.pause_reading()
        self._wake_reader()

    def eof_received(self) -> bool:
        self._at_end = True
        self._wake_reader()
        # The other direction stays open until close(); TLS has no half-close.
        return not self._is_tls

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = self._at_end = True
        self._error = error
        self._wake_reader()
        self.resume_writing()

    def pause_writing(self) -> None:
        if self._drained is None:
            self._drained = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    async def read(self) -> bytes:
        while not self._chunks:
            if self._at_end:
                return b""
            assert self._reader is None, "a connection has one reader"
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        chunk = self._chunks.popleft()
        self._size -= len(chunk)
        if self._read_paused and self._size <= READ_AHEAD // 2:
            self._read_paused = False
            if not self._lost:
                self._transport.resume_reading()
        return chunk

    async def write(self, content: bytes) -> None:
        if self._lost or self._transport.is_closing():
            raise ConnectionResetError("the other side closed the connection")
        self._transport.write(content)
        while self._drained is not None:
            await asyncio.shield(self._drained)
            if self._lost:
                raise ConnectionResetError("the other side closed the connection")

    async def close_write(self) -> None:
        if not self._lost and not self._transport.is_closing() and self._transport.can_write_eof():
            self._transport.write_eof()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once and drop what was not sent."""
        if self._transport is not None:
            self._transport.abort()

    def _wake_reader(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


class UpgradedConnection(StreamConnection):
    """The stream after an upgrade: its server counts the connection until `gone` is called."""

    def __init__(self, gone: Callable[[], None], leftover: bytes) -> None:
        super().__init__(leftover)
        self._gone = gone

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._gone()


async def dial(
    host: str = "",
    port: int = 0,
    *,
    unix_path: str = "",
    tls: ssl.SSLContext | None = None,
    server_name: str = "",
    seconds: float = 10.0,
) -> StreamConnection:
    """Open a TCP, TLS or Unix connection. Raises Unavailable, or DeadlineExceeded after `seconds`."""
    loop = asyncio.get_running_loop()
    where = f"unix:{unix_path}" if unix_path else f"{host}:{port}"
    hostname = (server_name or host) if tls is not None else None
    try:
        async with asyncio.timeout(seconds):
            if unix_path:
                _, protocol = await loop.create_unix_connection(
                    StreamConnection, unix_path, ssl=tls, server_hostname=hostname
                )
            else:
                _, protocol = await loop.create_connection(
                    StreamConnection, host, port, ssl=tls, server_hostname=hostname
                )
    except TimeoutError as error:
        raise DeadlineExceeded(f"{where}: no connection within {seconds:g} s") from error
    except OSError as error:  # ssl.SSLError is one
        raise Unavailable(f"{where}: {error.strerror or error}") from error
    return protocol
