"""`RUN --mount=type=ssh`: the user's SSH agent as a socket in the container.

The container never sees the agent's own socket: each connection to the one made here is joined to a new connection to
the agent, so keys stay where they are. The socket lives for as long as the command runs.
"""

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

from knarr.base.errors import Invalid

CONNECTIONS_MAX = 64
_PIECE = 1 << 16


@contextlib.asynccontextmanager
async def forwarded(agent: Path, place: Path, *, mode: int, owner: tuple[int, int]) -> AsyncIterator[None]:
    """The agent behind a new socket at `place`. Raises Invalid where there is no agent."""
    try:
        is_socket = stat.S_ISSOCK(agent.stat().st_mode)
    except OSError as error:
        raise Invalid(f"--ssh: {agent}: {error.strerror}") from error
    if not is_socket:
        raise Invalid(f"--ssh: {agent} is not an agent's socket")
    slots = asyncio.Semaphore(CONNECTIONS_MAX)
    joined: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        joined.add(task)
        try:
            async with slots:
                await _join(agent, reader, writer)
        finally:
            joined.discard(task)
            writer.close()

    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    server = await asyncio.start_unix_server(accept, str(place))
    try:
        os.chown(place, *owner)
        place.chmod(mode)
        yield
    finally:
        server.close()
        for task in list(joined):
            task.cancel()
        await asyncio.gather(*joined, return_exceptions=True)
        place.unlink(missing_ok=True)


async def _join(agent: Path, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Carry bytes both ways until one side ends."""
    try:
        their_reader, their_writer = await asyncio.open_unix_connection(str(agent))
    except OSError:
        return
    try:
        ways = [asyncio.create_task(_carry(reader, their_writer)), asyncio.create_task(_carry(their_reader, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
    finally:
        their_writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(_PIECE):
        writer.write(piece)
        await writer.drain()
