"""The streams of exec, attach and port-forward, whatever protocol carries them.

`Streams` is what the side that runs the command sees: standard input, output, error, resizes and the closing Status.
WebSocket (v5, v4 .channel.k8s.io: wire/websocket.py) and SPDY/3.1 (v4…v1: wire/spdy.py) both implement it.
"""

from typing import Literal, Protocol

STDIN, STDOUT, STDERR, ERROR, RESIZE = 0, 1, 2, 3, 4
"""Channel numbers of the Kubernetes remote command protocol."""


class Streams(Protocol):
    async def read_stdin(self) -> bytes:
        """The next bytes of standard input; b"" once the client closed it."""
        ...

    async def write(self, channel: Literal[1, 2], content: bytes) -> None:
        """Bytes of standard output (1) or error (2). Raises ConnectionError when the client is gone."""
        ...

    async def next_resize(self) -> tuple[int, int] | None:
        """The next terminal size as (columns, rows); None when the client can send no more."""
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

    async def close(self) -> None: ...
