"""wire/known_heads.py: a head that came before is read as the parser read it, and nothing else is."""

from pathlib import Path

import pytest

from knarr.wire import http, known_heads
from knarr.wire.connection import dial
from knarr.wire.http_server import Server
from knarr.wire.known_heads import KnownHeads

PEER = http.Peer("somewhere")
GET = b"GET /a/b?c=d%20e HTTP/1.1\r\nHost: h\r\nUser-Agent: x\r\n\r\n"
PUT = b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nAccept: */*\r\n\r\nhello"
OTHER_PUT = b"PUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\nAccept: */*\r\n\r\nhello, world"
SMALL = b"PATCH /a HTTP/1.1\r\nhost: h\r\nconnection: Keep-Alive\r\ncontent-length: 2\r\n\r\n{}"
PLAIN = (GET, PUT, OTHER_PUT, SMALL)
# What no block may stand for: each after the plain ones, which are known by then.
ODD = (
    b"GET /a/b?c=d#e HTTP/1.1\r\nHost: h\r\nUser-Agent: x\r\n\r\n",
    b"GET a HTTP/1.1\r\nHost: h\r\nUser-Agent: x\r\n\r\n",
    b"GET http://h/a HTTP/1.1\r\nHost: h\r\nUser-Agent: x\r\n\r\n",
    b"GET  /a HTTP/1.1\r\nHost: h\r\nUser-Agent: x\r\n\r\n",
    b"GET /a HTTP/1.0\r\nHost: h\r\nUser-Agent: x\r\n\r\n",
    b"GET /a HTTP/1.1 \r\nHost: h\r\nUser-Agent: x\r\n\r\n",
    b"\r\nGET /a HTTP/1.1\r\nHost: h\r\nUser-Agent: x\r\n\r\n",
    b"HEAD /a HTTP/1.1\r\nHost: h\r\nUser-Agent: x\r\n\r\n",
    b"BREW /a HTTP/1.1\r\nHost: h\r\nUser-Agent: x\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: h\r\nUser-Agent: x\r\n y\r\n\r\n",
    b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\nAccept: */*\r\n\r\nhello",
    b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5 5\r\nAccept: */*\r\n\r\nhello",
    b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length:  5\r\nAccept: */*\r\n\r\nhello",
    b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: \r\nAccept: */*\r\n\r\n",
    b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\ncontent-length: 6\r\n\r\nhello!",
    b"PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"PUT /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    b"PUT /a HTTP/1.1\r\nContent-Length: 5\r\nAccept: */*\r\n\r\nhello",
    b"PUT /a HTTP/1.1\r\nHost: h\r\nHost: i\r\nContent-Length: 5\r\n\r\nhello",
    b"PUT /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
    b"PUT /a HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    b"GET /a HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    GET + GET,
    PUT + OTHER_PUT,
    PUT[:-1],
    PUT + b"x",
    GET + b"\r\n" * 9,
    PUT + b"\r\n",
)


async def told(request: http.Request) -> http.Response:
    content = await request.read(1_000_000)
    return http.Response(
        200, (), repr((request.method, request.path, request.query, request.headers, content)).encode()
    )


async def answers(messages: tuple[bytes, ...], path: Path) -> bytes:
    """What a connection brings for the messages, each sent once the one before it was answered; the last ends it."""
    server = Server(told)
    await server.listen_unix(path)
    connection = await dial(unix_path=str(path))
    received = b""
    try:
        for message in messages[:-1]:
            await connection.write(message)
            received = await connection.read()
        await connection.write(messages[-1])
        await connection.close_write()
        received = b""
        while part := await connection.read():
            received += part
    except ConnectionError:
        pass
    finally:
        connection.close()
        await server.close(0.5)
    return b"\r\n".join(line for line in received.split(b"\r\n") if not line.startswith(b"date:"))


@pytest.mark.parametrize("message", [*PLAIN, *ODD])
async def test_a_message_is_answered_the_same_whatever_came_before(message: bytes, tmp_path: Path) -> None:
    alone = await answers((message,), tmp_path / "alone")
    assert await answers((*PLAIN, *PLAIN, message), tmp_path / "late") == alone


@pytest.mark.parametrize("message", PLAIN)
def test_a_known_head_is_read_without_the_parser(message: bytes) -> None:
    heads = KnownHeads()
    assert heads.request(message, PEER) is None
    heads.learn(message, _headers(message))
    method, target = message.split(b" ")[:2]
    path, _, query = target.decode().partition("?")
    body = message.partition(b"\r\n\r\n")[2]
    assert heads.request(message, PEER) == http.Request(method.decode(), path, query, _headers(message), body, PEER)


def test_another_length_is_no_other_head_and_is_believed_only_when_the_body_is_whole() -> None:
    heads = KnownHeads()
    heads.learn(PUT, _headers(PUT))
    found = heads.request(OTHER_PUT, PEER)
    assert found is not None
    assert (found.path, found.headers, found.body) == ("/b", _headers(OTHER_PUT), b"hello, world")
    for end in range(len(OTHER_PUT)):
        assert heads.request(OTHER_PUT[:end], PEER) is None
    assert heads.request(OTHER_PUT + b"!", PEER) is None


@pytest.mark.parametrize("message", ODD)
def test_what_is_odd_is_never_taken_for_a_known_head(message: bytes) -> None:
    heads = KnownHeads()
    for plain in PLAIN:
        heads.learn(plain, _headers(plain))
    assert heads.request(message, PEER) is None


@pytest.mark.parametrize(
    "name", ["Connection: close", "Expect: 100-continue", "Transfer-Encoding: chunked", "Upgrade: x"]
)
def test_a_head_that_decides_about_its_connection_is_not_kept(name: str) -> None:
    message = f"GET / HTTP/1.1\r\nHost: h\r\n{name}\r\n\r\n".encode()
    heads = KnownHeads()
    heads.learn(message, _headers(message))
    assert heads.request(message, PEER) is None


@pytest.mark.parametrize("message", [GET, PUT, SMALL])
async def test_empty_lines_behind_a_message_teach_no_length(message: bytes, tmp_path: Path) -> None:
    empty = b"\r\n" * 9
    swallowed = message + b"GET /b HTTP/1.1\r\n"  # as long as the empty lines
    alone = await answers((swallowed + b"Host: h\r\n\r\n",), tmp_path / "alone")
    assert await answers((*PLAIN, message + empty, swallowed, b"Host: h\r\n\r\n"), tmp_path / "late") in alone
    heads = KnownHeads()
    heads.learn(message + empty, _headers(message))
    assert len(heads) == 0


async def test_one_connection_pushes_out_few_of_the_others_heads(tmp_path: Path) -> None:
    server = Server(told)
    await server.listen_unix(tmp_path / "socket")
    connection = await dial(unix_path=str(tmp_path / "socket"))
    for number in range(known_heads.LEARNT_MAX + 9):
        await connection.write(b"GET / HTTP/1.1\r\nHost: h\r\nX-Request: %d\r\n\r\n" % number)
        assert await connection.read()
    connection.close()
    assert len(server.heads) == known_heads.LEARNT_MAX
    await server.close(0.5)


def test_what_is_kept_is_bounded() -> None:
    heads = KnownHeads()
    for number in range(3 * known_heads.BLOCKS_MAX):
        message = b"GET / HTTP/1.1\r\nHost: h\r\nX-Request: %d\r\n\r\n" % number
        heads.learn(message, _headers(message))
        assert len(heads) <= known_heads.BLOCKS_MAX
    long = b"GET / HTTP/1.1\r\nHost: h\r\nX: %b\r\n\r\n" % (b"x" * known_heads.HEAD_BYTES_MAX)
    heads.learn(long, _headers(long))
    assert heads.request(long, PEER) is None
    many = b"GET / HTTP/1.1\r\n%b\r\n" % (b"a: b\r\n" * (known_heads.FIELDS_MAX + 1))
    heads.learn(many, _headers(many))
    assert heads.request(many, PEER) is None


def _headers(message: bytes) -> http.Headers:
    lines = message.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    return tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
