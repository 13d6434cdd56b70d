"""An SSH agent behind another socket: bytes go both ways, nothing is left, what is no agent is refused."""

import asyncio
import stat
from pathlib import Path

import pytest

from knarr.base.errors import Invalid
from knarr.builder.steps import ssh


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(b"signed " + line)
        await writer.drain()
    writer.close()


async def test_the_agent_answers_through_the_socket_and_the_socket_goes(tmp_path: Path) -> None:
    server = await asyncio.start_unix_server(echo, str(tmp_path / "agent"))
    place = tmp_path / "work" / "ssh0"
    async with server, ssh.forwarded(tmp_path / "agent", place, mode=0o600, owner=(-1, -1)):
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        both = [await asyncio.open_unix_connection(str(place)) for _ in range(2)]
        for reader, writer in both:
            writer.write(b"a\nb\n")
            assert [await reader.readline(), await reader.readline()] == [b"signed a\n", b"signed b\n"]
        both[0][1].close()
        both[1][1].write(b"c\n")
        assert await both[1][0].readline() == b"signed c\n"
    assert not place.exists()
    assert await both[1][0].read() == b""
    both[1][1].close()


async def test_an_agent_that_went_away_ends_the_connection(tmp_path: Path) -> None:
    server = await asyncio.start_unix_server(echo, str(tmp_path / "agent"))
    place = tmp_path / "ssh0"
    async with ssh.forwarded(tmp_path / "agent", place, mode=0o600, owner=(-1, -1)):
        server.close()
        await server.wait_closed()
        reader, writer = await asyncio.open_unix_connection(str(place))
        assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize("kind", ["nothing", "file"])
async def test_what_is_no_agent_is_refused(tmp_path: Path, kind: str) -> None:
    agent = tmp_path / "agent"
    if kind == "file":
        agent.touch()
    with pytest.raises(Invalid, match="--ssh"):
        async with ssh.forwarded(agent, tmp_path / "ssh0", mode=0o600, owner=(-1, -1)):
            pass
