"""A piece of a file as a response's body, and its way into a plain socket past the event loop.

`FileBody` can be iterated like any other body: that serves TLS, and connections that cannot be handed over. `send`
lets a thread copy the file into the connection's socket, so neither a slow disk nor a slow client holds the event loop.
Not here: which connection may be handed over (wire/http_connection.py).

Why not sendfile(2): it spares the server a copy, but on the loopback the reader then fetches cold pages. Pieces that
stay in a core's cache gave 3.0 GB/s to one reader where sendfile gave 2.0, with both cores at work.
"""

import asyncio
import os
import select
import socket
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

_PIECE: Final = 1 << 20
_CACHED_PIECE: Final = 512 << 10
"""Fits a core's cache; 128 KiB and 2 MiB are slower, on a quiet machine and on a busy one."""
SENDERS_MAX: Final = 16
"""Files sent at once by threads; what comes on top is streamed by the event loop."""
_senders = ThreadPoolExecutor(SENDERS_MAX, thread_name_prefix="send")
_free = threading.Semaphore(SENDERS_MAX)


class FileBody:
    """`size` bytes of an open file from `start` on. It owns the descriptor; `aclose` gives it back."""

    def __init__(self, path: Path, start: int, size: int) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.start = start
        self.size = size
        self._chunks: AsyncIterator[bytes] | None = None

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._chunks = self._read()
        return self._chunks

    async def __anext__(self) -> bytes:
        if self._chunks is None:
            self._chunks = self._read()
        return await anext(self._chunks)

    async def aclose(self) -> None:
        closing = getattr(self._chunks, "aclose", None)
        if closing is not None:
            await closing()
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        if self.descriptor >= 0:  # a body that nobody asked for: an answer to HEAD, a client that left
            os.close(self.descriptor)
            self.descriptor = -1

    async def _read(self) -> AsyncIterator[bytes]:
        """The next piece is read while one is sent."""
        loop = asyncio.get_running_loop()
        start, end = self.start, self.start + self.size
        ahead: asyncio.Future[bytes] | None = None
        try:
            while start < end:
                length = min(_PIECE, end - start)
                piece = await (ahead or loop.run_in_executor(None, os.pread, self.descriptor, length, start))
                ahead = None
                if not piece:
                    return
                start += len(piece)
                if start < end:
                    length = min(_PIECE, end - start)
                    ahead = loop.run_in_executor(None, os.pread, self.descriptor, length, start)
                yield piece
        finally:
            if ahead is not None:
                await asyncio.wait({ahead})


async def send(connected: int, head: bytes, body: FileBody, stall_seconds: float) -> bool:
    """Write the head and the file to the socket behind a descriptor; False, with nothing sent, if all threads are busy.

    Nobody else may write to the socket meanwhile. Raises ConnectionError when the client is gone or does not read for
    `stall_seconds`.
    """
    if not _free.acquire(blocking=False):
        return False
    own = socket.socket(fileno=os.dup(connected))
    try:
        sending = asyncio.get_running_loop().run_in_executor(_senders, _send, own, head, body, stall_seconds)
        try:
            await asyncio.shield(sending)
        except asyncio.CancelledError:
            _shut(own)  # wakes the thread, which then fails
            await asyncio.wait({sending})
            sending.exception()
            raise
    finally:
        own.close()
        _free.release()
    return True


def _send(connected: socket.socket, head: bytes, body: FileBody, stall_seconds: float) -> None:
    poll = select.poll()
    poll.register(connected, select.POLLOUT)
    piece = memoryview(bytearray(_CACHED_PIECE))
    _send_all(connected, memoryview(head), poll, stall_seconds)
    offset, end = body.start, body.start + body.size
    while offset < end:
        read = os.preadv(body.descriptor, [piece[: end - offset]], offset)
        if not read:
            raise ConnectionAbortedError("the file is shorter than its size")
        _send_all(connected, piece[:read], poll, stall_seconds)
        offset += read


def _send_all(connected: socket.socket, left: memoryview, poll: select.poll, stall_seconds: float) -> None:
    while left:
        try:
            left = left[connected.send(left, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL) :]
        except BlockingIOError:
            if not poll.poll(stall_seconds * 1000):
                raise ConnectionResetError("the client does not read") from None


def _shut(connected: socket.socket) -> None:
    try:
        connected.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
