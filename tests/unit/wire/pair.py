"""Two ends of a connection in one process, and SPDY's client side, for tests."""

import asyncio
import socket
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from knarr.wire import spdy
from knarr.wire.connection import StreamConnection


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[StreamConnection, StreamConnection]]:
    """Two connected StreamConnections."""
    loop = asyncio.get_running_loop()
    ends = []
    for end in socket.socketpair():
        _, protocol = await loop.create_connection(StreamConnection, sock=end)
        ends.append(protocol)
    try:
        yield ends[0], ends[1]
    finally:
        for protocol in ends:
            protocol.abort()
        await asyncio.sleep(0)


class SpdyClient:
    """Builds the frames that a client sends."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=spdy.DICTIONARY)

    def open(self, stream: int, headers: dict[str, str], *, is_final: bool = False) -> bytes:
        plain = len(headers).to_bytes(4, "big")
        for name, value in headers.items():
            plain += len(name).to_bytes(4, "big") + name.encode() + len(value).to_bytes(4, "big") + value.encode()
        block = self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        payload = stream.to_bytes(4, "big") + bytes(6) + block
        return bytes.fromhex("80030001") + bytes([int(is_final)]) + len(payload).to_bytes(3, "big") + payload


class SpdyAnswers:
    """Collects what a server sent, by stream."""

    def __init__(self) -> None:
        self._buffer = b""
        self.replied: list[int] = []
        self.content: dict[int, bytes] = {}
        self.ended: list[int] = []
        self.reset: list[int] = []
        self.pongs: list[bytes] = []
        self.has_left = False

    def feed(self, content: bytes) -> None:
        self._buffer += content
        while len(self._buffer) >= 8:
            size = int.from_bytes(self._buffer[5:8], "big")
            if len(self._buffer) < 8 + size:
                return
            head, payload = self._buffer[:8], self._buffer[8 : 8 + size]
            self._buffer = self._buffer[8 + size :]
            number = int.from_bytes(payload[:4], "big")
            if not head[0] & 0x80:
                stream = int.from_bytes(head[:4], "big")
                self.content[stream] = self.content.get(stream, b"") + payload
                if head[4] & 1:
                    self.ended.append(stream)
            elif head[3] == spdy.SYN_REPLY:
                self.replied.append(number)
            elif head[3] == spdy.RST_STREAM:
                self.reset.append(number)
            elif head[3] == spdy.PING:
                self.pongs.append(payload)
            elif head[3] == spdy.GOAWAY:
                self.has_left = True
