"""wire/http_server.py: framing, limits, streaming, upgrades, as raw bytes on a socket see them."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from knarr.wire import http, http_head
from knarr.wire.connection import dial
from knarr.wire.http_server import Limits, Server


async def echo(request: http.Request) -> http.Response:
    content = await request.read(10_000_000)
    text = f"{request.method} {request.path}?{request.query} {len(content)}".encode()
    return http.Response(200, (("content-type", "text/plain"),), text + b" " + content[:100])


@asynccontextmanager
async def serving(handler: http.Handler, path: Path, limits: Limits | None = None) -> AsyncIterator[Server]:
    server = Server(handler, limits=limits)
    await server.listen_unix(path / "s")
    try:
        yield server
    finally:
        await server.close(0.5)


async def exchange(path: Path, content: bytes, *, pieces: int = 0, ends: bool = False) -> bytes:
    """Send bytes (in pieces of that size), return all that comes until the server closes."""
    connection = await dial(unix_path=str(path / "s"))
    for start in range(0, len(content), pieces or len(content) or 1):
        try:
            await connection.write(content[start : start + (pieces or len(content))])
        except ConnectionError:
            break
        await asyncio.sleep(0)
    if ends:
        await connection.close_write()
    answer = b""
    async with asyncio.timeout(5):
        while part := await connection.read():
            answer += part
    connection.close()
    return answer


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ")[1])


GET = b"GET /a%20b?x=1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"POST /p HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3;ext=1\r\nhel\r\n2\r\nlo\r\n0\r\nX-Trailer: 1\r\n\r\n"
)


@pytest.mark.parametrize(
    ("message", "body"),
    [(GET, b"GET /a%20b?x=1 0 "), (POST, b"POST /p? 5 hello"), (CHUNKED, b"POST /p? 5 hello")],
)
async def test_a_request_is_read_whole_and_byte_by_byte(message: bytes, body: bytes, tmp_path: Path) -> None:
    async with serving(echo, tmp_path):
        assert body_of(await exchange(tmp_path, message)) == body
        assert body_of(await exchange(tmp_path, message, pieces=1)) == body


async def test_a_request_cut_short_gets_no_answer_or_a_refusal(tmp_path: Path) -> None:
    async with serving(echo, tmp_path) as server:
        for end in range(0, len(CHUNKED) - 1, 3):
            answer = await exchange(tmp_path, CHUNKED[:end], ends=True)
            assert answer == b"" or status_of(answer) == 400
        assert not server.connections


async def test_pipelined_requests_are_answered_in_order(tmp_path: Path) -> None:
    first = b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\n"
    async with serving(echo, tmp_path):
        answer = await exchange(tmp_path, first * 3 + GET)
        assert answer.count(b"200 OK") == 4
        assert answer.index(b"/1?") < answer.index(b"/a%20b")


BAD = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\nabc",
    b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
    b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]


@pytest.mark.parametrize("message", BAD)
async def test_broken_framing_is_refused_and_ends_the_connection(message: bytes, tmp_path: Path) -> None:
    async with serving(echo, tmp_path):
        answer = await exchange(tmp_path, message + GET)
        assert status_of(answer) == 400
        assert answer.count(b"HTTP/1.1 ") == 1


async def test_a_request_without_a_version_is_refused(tmp_path: Path) -> None:
    async with serving(echo, tmp_path):
        answer = await exchange(tmp_path, b"GET /\r\nHost: h\r\n\r\n" + GET)
        assert status_of(answer) == 400
        assert answer.count(b"HTTP/1.1 ") == 1


async def test_a_header_past_the_limit_is_refused(tmp_path: Path) -> None:
    async with serving(echo, tmp_path):
        for message in (
            b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
            b"GET /" + b"a" * 200_000,
            b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        ):
            assert status_of(await exchange(tmp_path, message)) in (431, 400)


async def test_a_body_past_the_limit_is_refused_with_413(tmp_path: Path) -> None:
    async with serving(echo, tmp_path, Limits(body_bytes=1000)):
        declared = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5000000\r\n\r\n" + b"a" * 5_000_000
        assert status_of(await exchange(tmp_path, declared)) == 413
        chunks = (
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + b"400\r\n%b\r\n" % (b"a" * 1024) * 9
        )
        assert status_of(await exchange(tmp_path, chunks)) == 413


async def test_a_slow_header_ends_the_connection(tmp_path: Path) -> None:
    async with serving(echo, tmp_path, Limits(header_seconds=0.05)):
        assert await exchange(tmp_path, b"GET / HT") == b""


async def test_a_client_that_expects_100_is_told_only_when_the_body_is_wanted(tmp_path: Path) -> None:
    async def refuse(_request: http.Request) -> http.Response:
        return http.Response(401)

    head = b"POST /p HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 5\r\n\r\n"
    async with serving(echo, tmp_path):
        connection = await dial(unix_path=str(tmp_path / "s"))
        await connection.write(head)
        assert await connection.read() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await connection.write(b"hello")
        assert body_of(await connection.read()) == b"POST /p? 5 hello"
        connection.close()
    async with serving(refuse, tmp_path):
        assert (await exchange(tmp_path, head)).startswith(b"HTTP/1.1 401")


async def test_an_iterator_goes_out_in_chunks_and_is_closed_when_the_client_leaves(tmp_path: Path) -> None:
    closed = asyncio.Event()

    async def ticks() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"tick"
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    async def handler(_request: http.Request) -> http.Response:
        return http.Response(200, (), ticks())

    async with serving(handler, tmp_path):
        connection = await dial(unix_path=str(tmp_path / "s"))
        await connection.write(GET)
        received = b""
        while b"4\r\ntick\r\n" not in received:
            received += await connection.read()
        assert b"transfer-encoding: chunked" in received
        connection.close()
        async with asyncio.timeout(2):
            await closed.wait()


async def test_an_iterator_that_fails_cuts_the_response_short(tmp_path: Path) -> None:
    async def half() -> AsyncIterator[bytes]:
        yield b"half"
        raise RuntimeError("broken")

    async def handler(_request: http.Request) -> http.Response:
        return http.Response(200, (), half())

    async with serving(handler, tmp_path):
        assert not (await exchange(tmp_path, GET)).endswith(b"0\r\n\r\n")


async def test_a_handler_that_fails_answers_500_without_details(tmp_path: Path) -> None:
    async def handler(_request: http.Request) -> http.Response:
        raise RuntimeError("secret")

    async with serving(handler, tmp_path):
        answer = await exchange(tmp_path, GET)
        assert status_of(answer) == 500
        assert b"secret" not in answer


async def test_head_has_the_length_and_no_body(tmp_path: Path) -> None:
    async with serving(echo, tmp_path):
        answer = await exchange(tmp_path, b"HEAD / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert b"content-length: 10\r\n" in answer
        assert body_of(answer) == b""


async def test_an_upgrade_hands_over_the_bytes_behind_the_request(tmp_path: Path) -> None:
    async def shout(connection: http.Connection) -> None:
        while content := await connection.read():
            await connection.write(content.upper())

    async def handler(_request: http.Request) -> http.Response:
        return http.Response(101, (("upgrade", "shout"), ("connection", "Upgrade")), b"", shout)

    message = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\nearly"
    async with serving(handler, tmp_path):
        for pieces in (0, 1):
            answer = await exchange(tmp_path, message, pieces=pieces, ends=True)
            assert answer.startswith(b"HTTP/1.1 101")
            assert body_of(answer) == b"EARLY"


async def test_a_refused_upgrade_never_reads_what_follows(tmp_path: Path) -> None:
    message = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n"
    async with serving(echo, tmp_path):
        answer = await exchange(tmp_path, message + GET)
        assert answer.count(b"HTTP/1.1 ") == 1


async def test_a_header_with_a_line_break_is_never_sent(tmp_path: Path) -> None:
    async def handler(_request: http.Request) -> http.Response:
        return http.Response(200, (("x", "a\r\nset-cookie: b"),))

    async with serving(handler, tmp_path):
        assert b"set-cookie" not in await exchange(tmp_path, GET)


async def test_a_slow_reader_of_a_body_holds_the_sender_back(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def handler(request: http.Request) -> http.Response:
        await go.wait()
        return http.Response(200, (), str(len(await request.read(64_000_000))).encode())

    async with serving(handler, tmp_path, Limits(body_bytes=None)):
        connection = await dial(unix_path=str(tmp_path / "s"))
        await connection.write(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 8000000\r\n\r\n")
        sending = asyncio.create_task(connection.write(b"a" * 8_000_000))
        done, _ = await asyncio.wait({sending}, timeout=0.1)
        assert not done
        go.set()
        assert body_of(await connection.read()) == b"8000000"
        await sending
        connection.close()


async def test_close_lets_a_running_request_answer(tmp_path: Path) -> None:
    started, go = asyncio.Event(), asyncio.Event()

    async def handler(_request: http.Request) -> http.Response:
        started.set()
        await go.wait()
        return http.Response(200, (), b"late")

    async with serving(handler, tmp_path) as server:
        asking = asyncio.create_task(exchange(tmp_path, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
        await started.wait()
        closing = asyncio.create_task(server.close(5))
        await asyncio.sleep(0)
        go.set()
        assert body_of(await asking) == b"late"
        await closing
        assert not server.connections


async def test_a_unix_socket_names_its_peer_and_is_private(tmp_path: Path) -> None:
    seen: list[http.Peer] = []

    async def handler(request: http.Request) -> http.Response:
        seen.append(request.peer)
        return http.Response(200)

    async with serving(handler, tmp_path):
        await exchange(tmp_path, GET)
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
    assert seen[0].credentials is not None


async def test_a_client_that_never_reads_is_given_up(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def flood() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"a" * 100_000
        finally:
            ended.set()

    async def handler(_request: http.Request) -> http.Response:
        return http.Response(200, (), flood())

    async with serving(handler, tmp_path, Limits(write_seconds=0.05)):
        connection = await dial(unix_path=str(tmp_path / "s"))
        connection.transport.pause_reading()
        await connection.write(GET)
        async with asyncio.timeout(5):
            await ended.wait()
        connection.close()


@pytest.mark.parametrize("more", [-1, 0, 1, 2 * http_head.PIECE_BYTES, 20 * http_head.PIECE_BYTES + 7])
async def test_a_long_answer_goes_in_pieces_and_arrives_whole(tmp_path: Path, more: int) -> None:
    body = random.Random(more).randbytes(http_head.PIECE_BYTES + more)

    async def handler(_request: http.Request) -> http.Response:
        return http.Response(200, (), body)

    async with serving(handler, tmp_path):
        assert body_of(await exchange(tmp_path, GET)) == body
    pieces = http_head.pieces(b"head", body)
    assert b"".join(pieces) == b"head" + body
    assert max(map(len, pieces)) <= http_head.PIECE_BYTES + len(b"head")


async def test_damaged_requests_are_answered_or_dropped_and_harm_nobody(tmp_path: Path) -> None:
    chance = random.Random(1)  # the seed prints with a failure: it is this number
    async with serving(echo, tmp_path, Limits(header_seconds=0.2, body_seconds=0.2)) as server:
        for _ in range(300):
            message = bytearray(chance.choice((GET, POST, CHUNKED)) * chance.randint(1, 2))
            for _ in range(chance.randint(1, 6)):
                at = chance.randrange(len(message))
                message[at : at + chance.randint(0, 3)] = chance.randbytes(chance.randint(0, 3))
            answer = await exchange(tmp_path, bytes(message), pieces=chance.choice((0, 1, 7)), ends=True)
            assert b"HTTP/1.1 5" not in answer
        assert body_of(await exchange(tmp_path, GET)) == b"GET /a%20b?x=1 0 "
        assert not server.connections


async def test_a_body_that_comes_while_the_request_before_runs_is_whole(tmp_path: Path) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def handler(request: http.Request) -> http.Response:
        if request.method == "GET":
            begun.set()
            await go_on.wait()
        return await echo(request)

    async with serving(handler, tmp_path):
        connection = await dial(unix_path=str(tmp_path / "s"))
        await connection.write(GET.replace(b"Connection: close\r\n", b"") + POST.removesuffix(b"llo"))
        await begun.wait()
        go_on.set()
        await connection.write(b"llo")
        answer = b""
        async with asyncio.timeout(5):
            while part := await connection.read():
                answer += part
        connection.close()
    assert answer.count(b"200 OK") == 2
    assert answer.endswith(b"POST /p? 5 hello")


async def test_a_whole_body_past_the_servers_limit_never_reaches_the_handler_as_bytes(tmp_path: Path) -> None:
    async with serving(echo, tmp_path, Limits(body_bytes=4)):
        assert status_of(await exchange(tmp_path, POST)) == 413
