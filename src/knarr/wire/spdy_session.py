"""A SPDY/3.1 session on a connection, either side of it: streams that the client opens, each with a bounded buffer.

A stream whose reader is behind holds the whole session back (there are no windows), as Kubernetes' own servers do.
What the streams mean is decided elsewhere: wire/spdy_streams.py, wire/spdy_client.py.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from knarr.wire import heartbeat, spdy
from knarr.wire.http import Connection

STREAMS_MAX: Final = 512
"""Streams open at once: two for each forwarded connection, five for a command."""
STREAM_AHEAD: Final = 256 * 1024
PIECE: Final = 64 * 1024
_LAST_PING: Final = 0x7FFFFFFE
"""No session comes to the last number of a ping."""


class Stream:
    """One stream: `headers` as the client opened it with; bytes both ways; either side closes its half."""

    def __init__(self, session: "Session", identifier: int, headers: dict[str, str]) -> None:
        self.identifier = identifier
        self.headers = headers
        self._session = session
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()
        self.is_read_closed = False
        self.is_write_closed = False

    async def read(self) -> bytes:
        """The next bytes, b"" once the client closed its half or left."""
        while not self._chunks:
            if self.is_read_closed:
                return b""
            self._changed.clear()
            await self._changed.wait()
        content = self._chunks.popleft()
        self._size -= len(content)
        self._taken.set()
        return content

    async def write(self, content: bytes) -> None:
        for start in range(0, len(content), PIECE):
            if self.is_write_closed:
                raise ConnectionResetError("the stream is closed")
            await self._session.send(spdy.data(self.identifier, content[start : start + PIECE]))

    async def close_write(self) -> None:
        if not self.is_write_closed:
            self.is_write_closed = True
            await self._session.send(spdy.data(self.identifier, b"", is_final=True))
            self._session.drop_if_over(self)

    async def reset(self) -> None:
        """Give the stream up in both directions."""
        if not self.is_write_closed:
            self.is_write_closed = True
            await self._session.send(spdy.reset(self.identifier, spdy.CANCEL))
        self.discard()
        self._session.drop_if_over(self)

    async def receive(self, content: bytes) -> None:
        """From the session: keep bytes; returns when the reader is near enough behind."""
        if self.is_read_closed or not content:
            return
        self._chunks.append(content)
        self._size += len(content)
        self._changed.set()
        while self._size > STREAM_AHEAD and not self.is_read_closed:
            self._taken.clear()
            await heartbeat.until(self._taken, self._session.beat, self._session.beat_seconds)

    def end(self) -> None:
        """From the session: the client closed its half."""
        self.is_read_closed = True
        self._changed.set()
        self._taken.set()

    def discard(self) -> None:
        """Nobody reads any more."""
        self._chunks.clear()
        self._size = 0
        self.end()


class Session:
    """The server's side. `opened` is called with each new stream; it must not wait."""

    peer_parity = 1
    """What the identifiers of the other side's streams and pings leave when halved."""

    def __init__(
        self,
        connection: Connection,
        opened: Callable[[Stream], None],
        *,
        beat_seconds: float = heartbeat.BEAT_SECONDS,
    ) -> None:
        self.beat_seconds = beat_seconds
        self._connection = connection
        self._codec = spdy.Codec()
        self._opened = opened
        self._streams: dict[int, Stream] = {}
        self._last = 0
        self.gone = asyncio.Event()

    async def run(self) -> None:
        """Read until the client leaves or breaks the protocol; then every stream ends."""
        try:
            while content := await self._connection.read():
                for frame in self._codec.feed(content):
                    await self._take(frame)
        except (spdy.SpdyError, ConnectionError):
            self._connection.close()
        finally:
            self.gone.set()
            for stream in list(self._streams.values()):
                stream.is_write_closed = True
                stream.end()
            self._streams.clear()
            self._opened = _nobody  # it holds the streams, and they this session

    async def send(self, frame: bytes) -> None:
        await self._connection.write(frame)

    async def beat(self) -> None:
        """Answer a ping that nobody sent: a client that is held back need not answer it. Raises ConnectionError."""
        await self.send(spdy.pong((_LAST_PING | self.peer_parity).to_bytes(4, "big")))

    async def leave(self) -> None:
        """Tell the client that all is said."""
        await self.send(spdy.goaway(self._last))
        await self._connection.close_write()

    def drop_if_over(self, stream: Stream) -> None:
        if stream.is_read_closed and stream.is_write_closed:
            self._streams.pop(stream.identifier, None)

    async def _take(self, frame: spdy.Frame) -> None:
        match frame:
            case spdy.Opened(identifier, headers, is_final):
                if identifier <= self._last or identifier % 2 != self.peer_parity:
                    raise spdy.SpdyError(f"stream {identifier} out of order")
                self._last = identifier
                if len(self._streams) >= STREAMS_MAX:
                    await self.send(spdy.reset(identifier, spdy.REFUSED_STREAM))
                    return
                stream = self._streams[identifier] = Stream(self, identifier, headers)
                await self.send(self._codec.reply(identifier))
                if is_final:
                    stream.end()
                self._opened(stream)
            case spdy.Received(identifier, content, is_final):
                found = self._streams.get(identifier)
                if found is not None:
                    await found.receive(content)
                    if is_final:
                        found.end()
                        self.drop_if_over(found)
            case spdy.Reset(identifier, _):
                found = self._streams.pop(identifier, None)
                if found is not None:
                    found.is_write_closed = True
                    self._ended_by_reset(found)
            case spdy.Pinged(identifier_bytes):
                if identifier_bytes[3] & 1 == self.peer_parity:  # the others answer ours, which we never send
                    await self.send(spdy.pong(identifier_bytes))
            case spdy.Leaving():
                pass

    def _ended_by_reset(self, stream: Stream) -> None:
        stream.discard()  # a client that resets a stream wants none of it


class ClientSession(Session):
    """The client's side: it opens the streams, and the server none."""

    peer_parity = 0

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, _nobody)
        self._next = 1

    async def open(self, headers: dict[str, str]) -> Stream:
        """A new stream with these headers (names in lower case). Raises ConnectionError when the server is gone."""
        if self.gone.is_set():
            raise ConnectionResetError("the server closed the connection")
        if len(self._streams) >= STREAMS_MAX:
            raise ConnectionResetError(f"more than {STREAMS_MAX} streams are open")
        identifier, self._next = self._next, self._next + 2
        stream = self._streams[identifier] = Stream(self, identifier, headers)
        await self.send(self._codec.open(identifier, headers))
        return stream

    def _ended_by_reset(self, stream: Stream) -> None:
        # Go's servers end a session by resetting its streams right behind the last bytes, which still count.
        stream.end()


def _nobody(_stream: Stream) -> None:
    """Takes the place of a listener that has gone."""
