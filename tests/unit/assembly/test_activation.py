"""The real server starts at the first connection, once, and bytes pass both ways."""

import asyncio
from pathlib import Path

from knarr.assembly import activation
from knarr.base import tasks


async def test_the_server_starts_once_and_when_somebody_comes(tmp_path: Path) -> None:
    path, starts = tmp_path / "cri.sock", []
    servers = []

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"echo " + await reader.read())
        await writer.drain()
        writer.close()

    async def start(hidden: Path) -> None:
        starts.append(hidden)
        servers.append(await asyncio.start_unix_server(echo, str(hidden)))

    async with asyncio.TaskGroup() as group:
        task = await tasks.start(group, "activation", lambda ready: activation.serve(path, start, ready))
        assert path.stat().st_mode & 0o777 == 0o600
        assert starts == []
        for word in (b"one", b"two"):
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(word)
            writer.write_eof()
            assert await reader.read() == b"echo " + word
            writer.close()
        assert len(starts) == 1
        await tasks.cancel(task)
    for server in servers:
        server.close()
    assert not path.exists()
