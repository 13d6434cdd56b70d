"""The streams of exec, attach and port-forward, whatever protocol carries them.

`Streams` is what the side that runs the command sees: standard input, output, error, resizes and the closing Status.
WebSocket (v5, v4 .channel.k8s.io: wire/websocket.py) and SPDY/3.1 (v4…v1: wire/spdy_streams.py) both implement it
upon `Incoming`, which holds what the client sent until somebody asks for it.
"""

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import msgspec

from knarr.wire import heartbeat, strict_json

STDIN, STDOUT, STDERR, ERROR, RESIZE = 0, 1, 2, 3, 4
"""Channel numbers of the Kubernetes remote command protocol."""
STDIN_AHEAD: Final = 64 * 1024
"""Bytes of standard input kept for a command that does not read; then the client is held back."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which streams a request asks for, and whether they share a terminal."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


class Streams(Protocol):
    @property
    def wanted(self) -> Wanted: ...

    async def read_stdin(self) -> bytes:
        """The next bytes of standard input; b"" once the client closed it."""
        ...

    async def write(self, channel: Literal[1, 2], content: bytes) -> None:
        """Bytes of standard output (1) or error (2). Raises ConnectionError when the client is gone."""
        ...

    async def next_resize(self) -> tuple[int, int] | None:
        """The next terminal size as (columns, rows); None when the client can send no more."""
        ...

    async def gone(self) -> None:
        """Returns once the client has left."""
        ...

    async def finish(self, status: bytes) -> None:
        """Send the closing metav1.Status (JSON) on the error channel and close all streams."""
        ...


class PortStreams(Protocol):
    """One forwarded connection of a port-forward session."""

    @property
    def port(self) -> int: ...

    async def read(self) -> bytes: ...

    async def write(self, content: bytes) -> None: ...

    async def fail(self, message: str) -> None:
        """Tell the client why this connection failed, and close it."""
        ...

    async def close_write(self) -> None:
        """No more comes from the pod; the client may still send."""
        ...

    async def close(self) -> None: ...


class Incoming:
    """What the client sent and nobody read yet: standard input (bounded) and the last size of its terminal.

    `beat` is sent to a client that is held back (wire/heartbeat.py); None where that is the session's to do.
    """

    def __init__(self, beat: heartbeat.Beat | None = None, beat_seconds: float = heartbeat.BEAT_SECONDS) -> None:
        self._beat = beat
        self._beat_seconds = beat_seconds
        self._stdin: deque[bytes] = deque()
        self._size = 0
        self._is_closed = False
        self._resize: tuple[int, int] | None = None
        self._resize_text = b""
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()
        self._resized = asyncio.Event()
        self._gone = asyncio.Event()

    async def add_stdin(self, content: bytes) -> None:
        """Keep input; returns when the command is near enough behind, or nobody reads any more.

        Raises ConnectionError when the client is found gone meanwhile.
        """
        if self._is_closed or not content:
            return
        self._stdin.append(content)
        self._size += len(content)
        self._changed.set()
        while self._size > STDIN_AHEAD and not self._is_closed:
            self._taken.clear()
            if self._beat is None:
                await self._taken.wait()
            else:
                await heartbeat.until(self._taken, self._beat, self._beat_seconds)

    def close_stdin(self) -> None:
        self._is_closed = True
        self._changed.set()
        self._taken.set()

    def add_resize(self, content: bytes) -> None:
        """JSON objects {"Width":…,"Height":…}, possibly several, possibly cut."""
        self._resize_text = (self._resize_text + content)[-4096:]
        while b"}" in self._resize_text:
            text, _, self._resize_text = self._resize_text.partition(b"}")
            try:
                size = msgspec.json.decode(text + b"}", type=dict[str, int])
            except strict_json.UNREADABLE:
                continue
            columns, rows = size.get("Width", 0), size.get("Height", 0)
            if 0 < columns < 65536 and 0 < rows < 65536:
                self._resize = (columns, rows)
                self._resized.set()

    def end(self) -> None:
        """The client is gone."""
        self._gone.set()
        self._resized.set()
        self.close_stdin()

    def discard(self) -> None:
        """The command is over: further input is dropped."""
        self._stdin.clear()
        self._size = 0
        self.close_stdin()

    async def read_stdin(self) -> bytes:
        while not self._stdin:
            if self._is_closed:
                return b""
            self._changed.clear()
            await self._changed.wait()
        content = self._stdin.popleft()
        self._size -= len(content)
        self._taken.set()
        return content

    async def next_resize(self) -> tuple[int, int] | None:
        while self._resize is None:
            if self._gone.is_set():
                return None
            self._resized.clear()
            await self._resized.wait()
        size, self._resize = self._resize, None
        return size

    async def gone(self) -> None:
        await self._gone.wait()

    @property
    def is_gone(self) -> bool:
        return self._gone.is_set()


def failure_text(status: bytes) -> str:
    """The message of a Status for protocols that send plain text; "" on success."""
    decoded = msgspec.json.decode(status)
    return "" if decoded.get("status") == "Success" else str(decoded.get("message", ""))
