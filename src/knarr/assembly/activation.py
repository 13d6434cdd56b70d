"""Activation: a Unix socket that is there from the start, its server only once somebody comes.

gRPC costs 27 MB and 0.1 s to import, and most developers never ask the CRI socket anything. So a small listener owns
the path; at the first connection it starts the real server on a socket beside it and from then on passes bytes through.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from knarr.base import tasks
from knarr.base.logs import fields, log
from knarr.base.tasks import Ready

CHUNK = 65536
START_SECONDS = 15.0
CONNECTIONS_MAX = 64
"""A kubelet and a few crictl: more is a mistake or an attack."""

StartServer = Callable[[Path], Awaitable[None]]
"""Starts the real server on that socket path and returns once it listens."""


async def serve(path: Path, start: StartServer, ready: Ready) -> None:
    """Own the socket at `path` (0600) until cancelled."""
    hidden = path.with_suffix(".active.sock")
    started: asyncio.Task[None] | None = None
    open_now = 0

    async def start_once() -> None:
        hidden.unlink(missing_ok=True)
        await start(hidden)
        log("activation").info("%s", fields(socket=path.name, event="activated"))

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal started, open_now
        if open_now >= CONNECTIONS_MAX:
            writer.close()
            return
        open_now += 1
        try:
            if started is None or (started.done() and started.exception() is not None):
                started = asyncio.create_task(start_once(), name=f"start {path.name}")
            await tasks.deadline(asyncio.shield(started), START_SECONDS, f"starting {path.name}")
            await _pass_through(reader, writer, hidden)
        except Exception:
            # One connection's failure is the client's to see; the socket stays.
            log("activation").exception("%s", fields(socket=path.name, event="connection failed"))
        finally:
            open_now -= 1
            writer.close()

    path.unlink(missing_ok=True)
    previous = os.umask(0o177)
    try:
        server = await asyncio.start_unix_server(accept, str(path))
    finally:
        os.umask(previous)
    try:
        ready()
        await server.serve_forever()
    finally:
        server.close()
        for leftover in (path, hidden):
            leftover.unlink(missing_ok=True)


async def _pass_through(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upstream: Path) -> None:
    up_reader, up_writer = await asyncio.open_unix_connection(str(upstream))
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(reader, up_writer), name="to the server")
            group.create_task(_copy(up_reader, writer), name="to the client")
    finally:
        up_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
