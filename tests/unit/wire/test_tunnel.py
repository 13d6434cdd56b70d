"""wire/tunnel.py: what travels and what never does."""

import asyncio
from pathlib import Path

from knarr.wire import http, tunnel
from knarr.wire.connection import dial
from knarr.wire.http_client import Client, Target
from knarr.wire.http_server import Server
from tests.unit.wire.pair import pair

HEAD = b"GET /up HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: raw\r\nAuthorization: Bearer x\r\n\r\n"
SMUGGLED = b"GET /secret HTTP/1.1\r\nHost: h\r\n\r\n"


class Upstream:
    """Says 101 or 403, remembers what it was asked."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.requests: list[http.Request] = []
        self.received = b""
        self.ended = asyncio.Event()

    async def answer(self, request: http.Request) -> http.Response:
        self.requests.append(request)
        if self.status != 101:
            return http.Response(self.status, (("set-cookie", "a=b"),), b"no")
        return http.Response(101, (("connection", "Upgrade"), ("upgrade", "raw")), b"", self.serve)

    async def serve(self, connection: http.Connection) -> None:
        while content := await connection.read():
            self.received += content
            await connection.write(content.upper())
        self.ended.set()


async def through(upstream: Upstream, path: Path, content: bytes, enough: bytes) -> bytes:
    """What a client gets that sends `content` through a tunnel and leaves once it has seen `enough`."""
    behind, client = Server(upstream.answer), Client()
    await behind.listen_unix(path / "behind")
    target = Target(unix_path=str(path / "behind"))

    async def front(request: http.Request) -> http.Response:
        return await tunnel.tunnel(client, target, request, "/deeper", "a=1")

    server = Server(front)
    await server.listen_unix(path / "front")
    connection = await dial(unix_path=str(path / "front"))
    await connection.write(content)
    answer = b""
    async with asyncio.timeout(5):
        while enough not in answer and (part := await connection.read()):
            answer += part
    connection.close()
    if upstream.status == 101:
        async with asyncio.timeout(5):
            await upstream.ended.wait()
    for part in (server, behind):
        await part.close(0.2)
    await client.close()
    return answer


async def test_bytes_travel_both_ways_and_the_end_of_the_client_is_the_end(tmp_path: Path) -> None:
    upstream = Upstream(101)
    answer = await through(upstream, tmp_path, HEAD + b"early", b"EARLY")
    assert answer.startswith(b"HTTP/1.1 101")
    assert upstream.received == b"early"
    request = upstream.requests[0]
    assert (request.path, request.query, request.header("authorization")) == ("/deeper", "a=1", "")


async def test_a_refusal_goes_back_and_nothing_more_is_forwarded(tmp_path: Path) -> None:
    upstream = Upstream(403)
    answer = await through(upstream, tmp_path, HEAD + SMUGGLED, b"never")
    assert answer.startswith(b"HTTP/1.1 403")
    assert answer.endswith(b"no")
    assert b"set-cookie" not in answer
    assert [request.path for request in upstream.requests] == ["/deeper"]


async def test_the_end_of_a_websockets_server_is_the_end(tmp_path: Path) -> None:
    """The client waits for the server to close, and the server must not wait for the client then."""

    async def leave(connection: http.Connection) -> None:
        await connection.write(b"good-bye")

    async def serve(_request: http.Request) -> http.Response:
        return http.Response(101, (("connection", "Upgrade"), ("upgrade", "websocket")), b"", leave)

    behind, client = Server(serve), Client()
    await behind.listen_unix(tmp_path / "behind")
    target = Target(unix_path=str(tmp_path / "behind"))
    request = http.Request("GET", "/up", "", (("connection", "Upgrade"), ("upgrade", "websocket")))
    response = await tunnel.tunnel(client, target, request, "/deeper")
    assert response.upgrade is not None
    async with pair() as (near, far):
        async with asyncio.timeout(tunnel.LINGER_SECONDS / 2):
            await response.upgrade(near)
        assert [await far.read(), await far.read()] == [b"good-bye", b""]
    await client.close()
    await behind.close(0.2)


async def test_a_tunnel_in_which_nothing_moves_is_closed() -> None:
    async with pair() as (client, near), pair() as (far, upstream):
        joined = asyncio.create_task(tunnel.join(near, far, idle_seconds=0.1))
        for _ in range(4):
            await client.write(b"a")
            await asyncio.wait({joined}, timeout=0.05)
        assert not joined.done()
        async with asyncio.timeout(5):
            await joined
            assert await client.read() == b""
            assert [await upstream.read(), await upstream.read()][0] != b""
