"""A file as a body arrives whole, whoever sends it; a client that leaves frees the thread and the descriptor."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from knarr.wire import http_file
from knarr.wire.http import Request, Response
from knarr.wire.http_file import FileBody
from knarr.wire.http_server import Limits, Server

CONTENT = os.urandom(1 << 20) * 9


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(CONTENT)
    return tmp_path / "file"


@pytest.fixture
async def port(file: Path) -> AsyncIterator[int]:
    async def handler(request: Request) -> Response:
        start = int(request.query or "0")
        size = len(CONTENT) - start + (1 if request.path == "/lie" else 0)
        return Response(200, (("content-length", str(size)),), FileBody(file, start, size))

    server = Server(handler, limits=Limits(write_seconds=20))
    yield await server.listen_tcp("127.0.0.1", 0)
    await server.close(grace_seconds=0.1)


async def ask(port: int, *targets: str) -> bytes:
    """All bytes that come back for pipelined requests, the last of which closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 25)
    lines = [f"GET {target} HTTP/1.1\r\nhost: x\r\n" for target in targets]
    writer.write(("\r\n".join(lines) + "connection: close\r\n\r\n").encode())
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_a_file_arrives_whole(port: int) -> None:
    head, _, body = (await ask(port, "/")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert body == CONTENT


async def test_pipelined_answers_keep_their_order(port: int) -> None:
    places = [len(CONTENT) - 5, 1_000_000, len(CONTENT) - 70_000]
    answered = await ask(port, *(f"/?{place}" for place in places))
    for place in places:
        _, _, answered = answered.partition(b"\r\n\r\n")
        assert answered.startswith(CONTENT[place:])
        answered = answered[len(CONTENT) - place :]
    assert answered == b""


async def test_a_file_that_became_shorter_is_cut_off_not_padded(port: int) -> None:
    head, _, body = (await ask(port, "/lie", "/")).partition(b"\r\n\r\n")
    assert f"content-length: {len(CONTENT) + 1}".encode() in head
    assert body == CONTENT  # one byte less than promised, and no other answer behind it


async def test_more_clients_than_threads_are_served(port: int) -> None:
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(ask(port, "/?1")) for _ in range(http_file.SENDERS_MAX + 4)]
    assert {task.result().partition(b"\r\n\r\n")[2] == CONTENT[1:] for task in asked} == {True}


async def test_clients_that_leave_free_their_threads(port: int) -> None:
    leaving = []
    for _ in range(http_file.SENDERS_MAX):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert await reader.readexactly(100)
        leaving.append(writer)
    for writer in leaving:
        writer.transport.abort()
    assert (await ask(port, "/")).endswith(CONTENT)


async def test_a_body_that_nobody_sends_is_read_like_any_other(file: Path) -> None:
    body = FileBody(file, 3, 2_500_000)
    assert b"".join([piece async for piece in body]) == CONTENT[3:2_500_003]
    await body.aclose()
    assert body.descriptor == -1
