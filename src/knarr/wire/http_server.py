"""An HTTP/1.1 server on asyncio: TCP, TLS and Unix listeners that give requests to one handler.

Framing is decided by llhttp (httptools) and by http_connection.py; this file holds the listeners, the limits and the
graceful end. Authentication, content types, compression and errors as Status objects are the handler's.
"""

import asyncio
import contextlib
import os
import socket
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path

from knarr.base import errors
from knarr.wire import http
from knarr.wire.http_connection import ServerConnection
from knarr.wire.known_heads import KnownHeads

RECEIVE_BYTES = 256 * 1024
IP_FREEBIND = 15
"""Linux' socket option that the socket module does not name before Python 3.14."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one server. `body` None leaves the bound of a body to the handler (a registry streams it)."""

    header_bytes: int = 64 * 1024
    body_bytes: int | None = 3 * 1024 * 1024
    header_seconds: float = 10.0
    body_seconds: float = 60.0
    idle_seconds: float = 180.0
    write_seconds: float = 600.0
    connections: int = 4096


class Server:
    """Serves `handler` on any number of listeners until `close`."""

    def __init__(self, handler: http.Handler, *, limits: Limits | None = None) -> None:
        self.handler = handler
        self.limits = limits or Limits()
        self.connections: set[ServerConnection] = set()
        self.heads = KnownHeads()
        self.received = memoryview(bytearray(RECEIVE_BYTES))
        self._listeners: list[asyncio.Server] = []
        self._emptied = asyncio.Event()

    async def listen_early(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> None:
        """Listen on an IPv4 address that this machine may get later (a bridge's). Raises AlreadyExists."""
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        try:
            listening.bind((host, port))
        except OSError as error:
            listening.close()
            raise errors.AlreadyExists(f"{host}:{port}: {error.strerror or error}") from error
        loop = asyncio.get_running_loop()
        self._listeners.append(
            await loop.create_server(lambda: ServerConnection(self), sock=listening, ssl=tls, backlog=1024)
        )

    async def listen_tcp(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> int:
        """Listen on an address (port 0: any); returns the port. Raises AlreadyExists when the port is taken."""
        loop = asyncio.get_running_loop()
        try:
            listener = await loop.create_server(
                lambda: ServerConnection(self),
                host,
                port,
                ssl=tls,
                backlog=1024,
                ssl_handshake_timeout=self.limits.header_seconds if tls else None,
            )
        except OSError as error:
            raise errors.AlreadyExists(f"{host}:{port}: {error.strerror or error}") from error
        self._listeners.append(listener)
        return int(listener.sockets[0].getsockname()[1])

    async def listen_unix(self, path: Path, *, mode: int = 0o600, owner: int | None = None) -> None:
        """Listen on a Unix socket that only `owner` may open. A socket file nobody serves is replaced."""
        _remove_stale_socket(path)
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(str(path))
            path.chmod(mode)  # before listen(): nobody can have connected with the older mode
            if owner is not None:
                os.chown(path, owner, -1)
            self._listeners.append(
                await asyncio.get_running_loop().create_unix_server(
                    lambda: ServerConnection(self), sock=listening, backlog=1024
                )
            )
        except BaseException:
            listening.close()
            raise

    def forget(self, connection: ServerConnection) -> None:
        """A connection's own word that it is over."""
        self.connections.discard(connection)
        if not self.connections:
            self._emptied.set()

    async def close(self, grace_seconds: float = 5.0) -> None:
        """Stop listening, let running requests answer for `grace_seconds`, end streams and idle connections at once."""
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.finish()
        await self._until_empty(grace_seconds)
        for connection in list(self.connections):
            connection.abort()
        await self._until_empty(1.0)

    async def _until_empty(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.connections:
                    self._emptied.clear()
                    await self._emptied.wait()


def _remove_stale_socket(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise errors.AlreadyExists(f"{path} exists and is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise errors.AlreadyExists(f"{path} is served by another process")
