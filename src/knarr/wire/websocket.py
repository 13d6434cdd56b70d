"""Kubernetes' channel protocols over WebSocket: remote command (v5 … v1, base64 too) and port-forward.

A binary message is one byte for the channel and its content; v5's channel 255 closes the channel named by the content.
Framing, masks and the closing handshake are those of the `websockets` library (sans-I/O); the HTTP part was done by
our own server. RFC 6455.
"""

import asyncio
import base64
import binascii
import contextlib
from collections.abc import AsyncIterator
from typing import Final, Literal

from websockets.exceptions import ProtocolError
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from knarr.wire import channels
from knarr.wire.http import Connection

MESSAGE_MAX: Final = 1024 * 1024
LINGER_SECONDS: Final = 5.0
PIECE: Final = 32 * 1024
CLOSE_CHANNEL: Final = 255


class WebSocket:
    """The server's side of an accepted WebSocket: pieces of messages in, whole messages out."""

    def __init__(self, connection: Connection, *, is_text: bool = False) -> None:
        self._connection = connection
        self._protocol = Protocol(Side.SERVER, state=State.OPEN, max_size=MESSAGE_MAX)
        self._is_text = is_text
        self._closed = False

    async def pieces(self) -> AsyncIterator[tuple[bool, bytes]]:
        """(whether a message begins here, content) until the client closes or breaks the protocol; to be asked once."""
        try:
            while self._protocol.state is not State.CLOSED:
                content = await self._connection.read()
                if not content:
                    return
                self._protocol.receive_data(content)
                for frame in self._protocol.events_received():
                    assert isinstance(frame, Frame)
                    if frame.opcode in (Opcode.BINARY, Opcode.TEXT):
                        yield True, bytes(frame.data)
                    elif frame.opcode is Opcode.CONT:
                        yield False, bytes(frame.data)
                await self._flush()
                if self._protocol.close_expected():
                    return
        finally:
            # The parser is a generator that holds the protocol, which holds it, and so does the traceback of what broke
            # the protocol: only the collector would find them.
            self._protocol.parser.close()
            self._protocol.parser_exc = None

    async def send(self, content: bytes) -> None:
        if self._protocol.state is not State.OPEN:
            raise ConnectionResetError("the client closed the WebSocket")
        if self._is_text:
            self._protocol.send_text(content)
        else:
            self._protocol.send_binary(content)
        await self._flush()

    async def beat(self) -> None:
        """Send a pong that nobody asked for (RFC 6455, 5.5.3). Raises ConnectionError when the client is gone."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_pong(b"")
            await self._flush()

    async def close(self) -> None:
        """Begin the closing handshake."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
            await self._flush()

    async def _flush(self) -> None:
        for content in self._protocol.data_to_send():
            if content:
                await self._connection.write(content)
            else:
                await self._connection.close_write()


class WebSocketStreams(channels.Incoming):
    """channels.Streams on one WebSocket. `version` 5 closes channels, 4 ends with a Status, below that with text."""

    def __init__(self, socket: WebSocket, wanted: channels.Wanted, version: int, *, is_base64: bool = False) -> None:
        super().__init__(socket.beat)
        self.wanted = wanted
        self._socket = socket
        self._version = version
        self._is_base64 = is_base64

    async def run(self) -> None:
        """Read until the client leaves."""
        channel = -1
        try:
            async for begins, content in self._socket.pieces():
                if begins:
                    if not content:
                        continue
                    channel = content[0] - 0x30 if self._is_base64 else content[0]
                    content = content[1:]
                if self._is_base64:
                    content = _unbase64(content)
                if channel == channels.STDIN:
                    await self.add_stdin(content)
                elif channel == channels.RESIZE:
                    self.add_resize(content)
                elif channel == CLOSE_CHANNEL and self._version >= 5 and content[:1] == b"\x00":
                    self.close_stdin()
        except (ConnectionError, ProtocolError):
            pass
        finally:
            self.end()

    async def greet(self) -> None:
        """An empty message on the lowest channel that the client reads tells it that the command runs."""
        wanted = self.wanted
        channel = channels.STDOUT if wanted.stdout else channels.STDERR if wanted.stderr else channels.ERROR
        await self._send(channel, b"")

    async def write(self, channel: Literal[1, 2], content: bytes) -> None:
        for start in range(0, len(content), PIECE):
            await self._send(channel, content[start : start + PIECE])

    async def finish(self, status: bytes) -> None:
        self.discard()
        content = status if self._version >= 4 else channels.failure_text(status).encode()
        if content:
            await self._send(channels.ERROR, content)
        await self._socket.close()

    async def _send(self, channel: int, content: bytes) -> None:
        if self._is_base64:
            await self._socket.send(bytes([0x30 + channel]) + base64.b64encode(content))
        else:
            await self._socket.send(bytes([channel]) + content)


class WebSocketConnection:
    """A Connection inside binary messages: what `SPDY/3.1+portforward.k8s.io` tunnels."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._pieces = socket.pieces()

    async def read(self) -> bytes:
        try:
            async for _, content in self._pieces:
                if content:
                    return content
        except ProtocolError as error:
            raise ConnectionResetError(str(error)) from error
        return b""

    async def write(self, content: bytes) -> None:
        await self._socket.send(content)

    async def close_write(self) -> None:
        await self._socket.close()

    def close(self) -> None:
        pass  # the owner of the WebSocket closes its connection

    def abort(self) -> None:
        pass


class WebSocketPort:
    """channels.PortStreams on two channels of a WebSocket (v4.channel.k8s.io with `ports` in the query)."""

    def __init__(self, socket: WebSocket, port: int, channel: int, *, is_base64: bool) -> None:
        self.port = port
        self._socket = socket
        self._channel = channel
        self._is_base64 = is_base64
        self.incoming = channels.Incoming(socket.beat)

    async def greet(self) -> None:
        """Both channels begin with the port, little endian."""
        for channel in (self._channel, self._channel + 1):
            await self._send(channel, self.port.to_bytes(2, "little"))

    async def read(self) -> bytes:
        return await self.incoming.read_stdin()

    async def write(self, content: bytes) -> None:
        for start in range(0, len(content), PIECE):
            await self._send(self._channel, content[start : start + PIECE])

    async def fail(self, message: str) -> None:
        await self._send(self._channel + 1, message.encode())

    async def close_write(self) -> None:
        """There is no half-close here: once the pod has said all, the port is over, and the closing socket says so."""
        self.incoming.end()

    async def close(self) -> None:
        self.incoming.discard()

    async def _send(self, channel: int, content: bytes) -> None:
        if self._is_base64:
            await self._socket.send(bytes([0x30 + channel]) + base64.b64encode(content))
        else:
            await self._socket.send(bytes([channel]) + content)


async def dispatch(socket: WebSocket, ports: list[WebSocketPort], *, is_base64: bool) -> None:
    """Give what arrives to the ports until the client leaves."""
    channel = -1
    try:
        async for begins, content in socket.pieces():
            if begins and content:
                channel = content[0] - 0x30 if is_base64 else content[0]
                content = content[1:]
            if is_base64:
                content = _unbase64(content)
            if channel % 2 == 0 and channel // 2 < len(ports):
                await ports[channel // 2].incoming.add_stdin(content)
    except (ConnectionError, ProtocolError):
        pass
    finally:
        for port in ports:
            port.incoming.end()


async def farewell(reading: "asyncio.Task[None]") -> None:
    """Wait for the client to close first: bytes it still sends would otherwise reset what it has not read."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            await asyncio.shield(reading)


def _unbase64(content: bytes) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error as error:
        raise ConnectionResetError("a message is not base64") from error
