"""wire/http_client.py against wire/http_server.py, over Unix sockets and TLS with client certificates."""

import asyncio
import contextlib
import gc
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvloop

from knarr.base import errors
from knarr.wire import http, tls
from knarr.wire.http_client import Client, Target
from knarr.wire.http_server import Limits, Server

NOW = datetime.now(UTC)


async def answer(request: http.Request) -> http.Response:
    """/echo gives the body back, /chunks streams, /up upgrades, /who names the certificate, /stuck never answers."""
    match request.path:
        case "/chunks":
            return http.Response(200, (), _parts())
        case "/up":
            return http.Response(101, (("upgrade", "raw"), ("connection", "Upgrade")), b"", _shout)
        case "/who":
            name = tls.subject(request.peer.certificate) if request.peer.certificate else ("nobody", ())
            return http.Response(200, (), f"{name[0]} {','.join(name[1])}".encode())
        case "/stuck":
            await asyncio.Event().wait()
        case "/refuse":
            return http.Response(403, (), b"no")
    return http.Response(200, (("x-one", "1"),), await request.read(100_000_000))


async def _parts() -> AsyncIterator[bytes]:
    for number in range(1000):
        yield b"%d " % number * 100


async def _shout(connection: http.Connection) -> None:
    while content := await connection.read():
        await connection.write(content.upper())


async def _pieces(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"a" * 10_000


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[tuple[Server, Client, Target]]:
    server, client = Server(answer, limits=Limits(body_bytes=None)), Client()
    await server.listen_unix(path / "s")
    try:
        yield server, client, Target(unix_path=str(path / "s"))
    finally:
        await client.close()
        await server.close(0.2)


async def test_a_connection_is_kept_between_requests(tmp_path: Path) -> None:
    async with running(tmp_path) as (server, client, target):
        for _ in range(5):
            response = await client.request(target, http.Request("POST", "/echo", body=b"hello"))
            assert (response.status, response.header("x-one"), await response.read(100)) == (200, "1", b"hello")
        assert len(server.connections) == 1


async def test_bodies_stream_both_ways(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, client, target):
        response = await client.request(target, http.Request("PUT", "/echo", body=_pieces(500)))
        assert len(await response.read(10_000_000)) == 5_000_000
        counted = http.Request("PUT", "/echo", headers=(("content-length", "30000"),), body=_pieces(3))
        response = await client.request(target, counted)
        assert len(await response.read(10_000_000)) == 30_000
        response = await client.request(target, http.Request("GET", "/chunks"))
        whole = b"".join([part async for part in response.chunks()])
        assert whole == b"".join([part async for part in _parts()])


async def test_a_response_past_the_readers_limit_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, client, target):
        with pytest.raises(errors.TooLarge):
            await (await client.request(target, http.Request("GET", "/chunks"))).read(1000)


async def test_head_and_early_answers_leave_the_client_usable(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, client, target):
        for request in (http.Request("HEAD", "/echo"), http.Request("PUT", "/refuse", body=_pieces(2000))):
            response = await client.request(target, request)
            await response.read(100)
        response = await client.request(target, http.Request("GET", "/echo"))
        assert response.status == 200


async def test_an_upgrade_returns_the_raw_stream_only_with_101(tmp_path: Path) -> None:
    headers = (("connection", "Upgrade"), ("upgrade", "raw"))
    async with running(tmp_path) as (_, client, target):
        response, stream = await client.upgrade(target, http.Request("GET", "/up", headers=headers))
        assert response.status == 101
        assert stream is not None
        await stream.write(b"abc")
        assert await stream.read() == b"ABC"
        await stream.close_write()
        assert await stream.read() == b""
        stream.close()
        response, nothing = await client.upgrade(target, http.Request("GET", "/refuse", headers=headers))
        assert (response.status, nothing, await response.read(10)) == (403, None, b"no")


async def test_an_upgrade_takes_a_kept_connection_and_another_one_is_opened_for_the_next(tmp_path: Path) -> None:
    headers = (("connection", "Upgrade"), ("upgrade", "raw"))
    async with running(tmp_path) as (server, _, target):
        client = Client(keeps_spare=True)
        await (await client.request(target, http.Request("GET", "/echo"))).read(10)
        streams = []
        for _ in range(3):
            _, stream = await client.upgrade(target, http.Request("GET", "/up", headers=headers))
            assert stream is not None
            streams.append(stream)
            await stream.write(b"abc")
            assert await stream.read() == b"ABC"
        assert len(server.connections) <= 4  # the three streams and a spare one
        await client.close()
        for stream in streams:
            stream.close()


async def test_the_next_connection_is_opened_when_a_short_stream_is_over(tmp_path: Path) -> None:
    headers = (("connection", "Upgrade"), ("upgrade", "raw"))
    async with running(tmp_path) as (server, _, target):
        client = Client(keeps_spare=True, spare_seconds=3600)
        _, stream = await client.upgrade(target, http.Request("GET", "/up", headers=headers))
        assert stream is not None
        for _ in range(50):
            await stream.write(b"abc")
            assert await stream.read() == b"ABC"
        used = set(server.connections)
        assert len(used) == 1
        stream.close()
        async with asyncio.timeout(10):
            while not server.connections - used:
                await asyncio.sleep(0)
        await client.close()


async def test_the_next_connection_is_opened_beside_a_long_stream(tmp_path: Path) -> None:
    headers = (("connection", "Upgrade"), ("upgrade", "raw"))
    async with running(tmp_path) as (server, _, target):
        client = Client(keeps_spare=True, spare_seconds=0)
        _, stream = await client.upgrade(target, http.Request("GET", "/up", headers=headers))
        assert stream is not None
        async with asyncio.timeout(10):
            while len(server.connections) < 2:
                await asyncio.sleep(0)
        await client.close()
        stream.close()


async def test_an_upgrade_outlives_a_server_that_closed_the_kept_connection(tmp_path: Path) -> None:
    headers = (("connection", "Upgrade"), ("upgrade", "raw"))
    async with running(tmp_path) as (server, client, target):
        await (await client.request(target, http.Request("GET", "/echo"))).read(10)
        await server.close(0.1)
        again = Server(answer)
        await again.listen_unix(tmp_path / "s")
        response, stream = await client.upgrade(target, http.Request("GET", "/up", headers=headers))
        assert response.status == 101
        assert stream is not None
        stream.close()
        await client.close()
        await again.close(0.1)


async def test_a_server_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, client, target):
        with pytest.raises(errors.DeadlineExceeded):
            await client.request(target, http.Request("GET", "/stuck"), head_seconds=0.05)


async def test_no_server_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(errors.Unavailable):
        await Client().request(Target(unix_path=str(tmp_path / "none")), http.Request("GET", "/"))


async def test_a_restarted_server_is_reached_again(tmp_path: Path) -> None:
    async with running(tmp_path) as (server, client, target):
        await (await client.request(target, http.Request("GET", "/echo"))).read(10)
        await server.close(0.1)
        again = Server(answer)
        await again.listen_unix(tmp_path / "s")
        response = await client.request(target, http.Request("GET", "/echo"))
        assert response.status == 200
        await again.close(0.1)


def certificates(path: Path) -> None:
    authority = tls.new_authority("test-ca", NOW)
    server = tls.issue_server(authority, "server", ["localhost", "127.0.0.1"], NOW, days=1)
    user = tls.issue_client(authority, "anna", ["dev", "ops"], NOW)
    tls.write(path / "ca.crt", authority.certificate)
    for name, pair in (("server", server), ("anna", user)):
        tls.write(path / f"{name}.crt", pair.certificate)
        tls.write(path / f"{name}.key", pair.key)


def test_a_handshake_makes_no_tickets_to_come_back_with(tmp_path: Path) -> None:
    certificates(tmp_path)
    ours = tls.server_context(tmp_path / "server.crt", tmp_path / "server.key", client_authority=tmp_path / "ca.crt")
    theirs = tls.client_context(
        authority=tmp_path / "ca.crt", certificate=tmp_path / "anna.crt", key=tmp_path / "anna.key"
    )
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server, client = ours.wrap_bio(up, down, server_side=True), theirs.wrap_bio(down, up, server_hostname="localhost")
    for side in (client, server, client):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    server.do_handshake()
    assert (client.version(), down.pending) == ("TLSv1.3", 0)


async def test_a_client_certificate_names_user_and_groups(tmp_path: Path) -> None:
    certificates(tmp_path)
    assert (tmp_path / "anna.key").stat().st_mode & 0o777 == 0o600
    server, client = Server(answer), Client()
    context = tls.server_context(tmp_path / "server.crt", tmp_path / "server.key", client_authority=tmp_path / "ca.crt")
    port = await server.listen_tcp("127.0.0.1", 0, tls=context)
    anna = tls.client_context(
        authority=tmp_path / "ca.crt", certificate=tmp_path / "anna.crt", key=tmp_path / "anna.key"
    )
    anonymous = tls.client_context(authority=tmp_path / "ca.crt")
    for context, who in ((anna, b"anna dev,ops"), (anonymous, b"nobody ")):
        response = await client.request(Target("127.0.0.1", port, context), http.Request("GET", "/who"))
        assert await response.read(100) == who
    with pytest.raises(errors.Unavailable):
        await client.request(Target("127.0.0.1", port, tls.client_context()), http.Request("GET", "/who"))
    await client.close()
    await server.close(0.2)


def test_closed_tls_connections_do_not_wait_for_the_garbage_collector(tmp_path: Path) -> None:
    """On the loop that knarr runs on: its TLS keeps more references than the standard one's."""
    certificates(tmp_path)

    async def told() -> list[str]:
        server, client = Server(answer), Client()
        context = tls.server_context(
            tmp_path / "server.crt", tmp_path / "server.key", client_authority=tmp_path / "ca.crt"
        )
        port = await server.listen_tcp("127.0.0.1", 0, tls=context)
        target = Target("127.0.0.1", port, tls.client_context(authority=tmp_path / "ca.crt"))
        headers = (("connection", "Upgrade"), ("upgrade", "raw"))
        gc.collect()
        gc.disable()
        for _ in range(3):
            await (await client.request(target, http.Request("GET", "/echo"))).read(100)
            _, stream = await client.upgrade(target, http.Request("GET", "/up", headers=headers))
            assert stream is not None
            stream.close()
            del stream
        await client.close()
        await server.close(1.0)
        await asyncio.sleep(0.01)
        return [type(thing).__name__ for thing in gc.get_objects() if type(thing).__name__ in ("ServerConnection",)]

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            assert runner.run(told()) == []
    finally:
        gc.enable()


async def test_nothing_is_left_for_the_garbage_collector(tmp_path: Path) -> None:
    headers = (("connection", "Upgrade"), ("upgrade", "raw"))
    gc.collect()
    gc.disable()
    try:
        async with running(tmp_path) as (server, client, target):
            for path in ("/echo", "/chunks", "/refuse"):
                await (await client.request(target, http.Request("GET", path))).read(10_000_000)
            response, stream = await client.upgrade(target, http.Request("GET", "/up", headers=headers))
            assert stream is not None
            await stream.write(b"a")
            await stream.read()
            stream.close()
            del stream, response
        assert not server.connections
        await asyncio.sleep(0)
        names = {"ServerConnection", "_ClientConnection", "StreamConnection", "_Upgraded", "Exchange", "ArrivingBody"}
        assert [type(thing).__name__ for thing in gc.get_objects() if type(thing).__name__ in names] == []
    finally:
        gc.enable()
