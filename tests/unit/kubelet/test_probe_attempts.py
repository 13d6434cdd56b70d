"""One attempt of a probe or an HTTP hook against servers that answer anything at all."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import msgspec
import pytest

from knarr.base.clock import SystemClock
from knarr.cri.memory import MemoryRuntime
from knarr.kinds.lens.container import Container
from knarr.kinds.lens.probes import HTTPGetAction, LifecycleHandler
from knarr.kubelet import hooks
from knarr.kubelet.probes import grpc, http, target, tcp
from knarr.kubelet.probes.result import Result

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Gives each connection the next of its answers, and keeps what was asked."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.asked: list[bytes] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            self.asked.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(self.answers.pop(0).replace(b"PORT", str(self.port).encode()))
            await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def listening(server: Server) -> AsyncIterator[None]:
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    async with listener:
        yield


def attempt(*answers: bytes, **action: Any) -> tuple[Result, list[bytes]]:
    async def told() -> tuple[Result, list[bytes]]:
        server = Server(*answers)
        async with listening(server):
            return await http.attempt(place(server.port, **action), 5.0), server.asked

    return asyncio.run(told())


def place(port: int, **action: Any) -> target.HttpTarget:
    wanted = msgspec.convert({"port": port, "host": "127.0.0.1", **action}, HTTPGetAction)
    return target.http(wanted, Container(name="c", image="i"), "127.0.0.1")


def to(location: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (OK, Result(True, "ok")),
        (b"HTTP/1.1 399 So\r\nContent-Length: 0\r\n\r\n", Result(True)),
        (b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n", Result(False, "HTTP probe failed with statuscode: 400")),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", Result(True)),
        (
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
            Result(False, "HTTP probe failed with statuscode: 101"),
        ),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK, Result(True, "ok")),
    ],
)
def test_a_status_from_200_to_399_is_success(answer: bytes, wanted: Result) -> None:
    assert attempt(answer)[0] == wanted


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"", "EOF"),
        (b"SSH-2.0-OpenSSH\r\n", "malformed HTTP response"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * (3 << 20), "server response headers exceeded"),
        (to("http://127.0.0.1:99999/"), "failed to parse Location header"),
        (to("http://[::1/"), "failed to parse Location header"),
        (to("ftp://127.0.0.1/x"), 'unsupported protocol scheme "ftp"'),
    ],
)
def test_whatever_a_container_answers_an_attempt_fails_with_words(answer: bytes, says: str) -> None:
    result, _ = attempt(answer)
    assert not result.is_success
    assert not result.is_error
    assert says in result.output


def test_a_redirect_is_followed_on_the_same_host_only() -> None:
    result, asked = attempt(to("/there?a=1#part"), OK)
    assert result == Result(True, "ok")
    assert asked[1].startswith(b"GET /there?a=1 HTTP/1.1\r\n")
    result, asked = attempt(to("http://elsewhere.example/"))
    assert result == Result(True, warning="Probe terminated redirects, Response body: ")
    result, asked = attempt(*[to("/again")] * 20)
    assert "stopped after 10 redirects" in result.output


def test_the_request_is_well_formed_whatever_the_path_and_headers_are() -> None:
    headers = [{"name": "Host", "value": "web.example"}, {"name": "Accept", "value": ""}]
    _, (asked,) = attempt(OK, path="a b/ü%20?q=1 2#x", httpHeaders=headers)
    assert asked == (
        b"GET /a%20b/%C3%BC%20?q=1%202 HTTP/1.1\r\nUser-Agent: kube-probe/1.37\r\nHost: web.example\r\n"
        b"Connection: close\r\n\r\n"
    )


@pytest.mark.parametrize("host", ["a..b", "x" * 80])
def test_a_host_that_is_no_name_is_an_answer_and_no_crash(host: str) -> None:
    async def told() -> tuple[Result, Result]:
        return await http.attempt(place(80, host=host), 5.0), await tcp.attempt(host, 80, 5.0)

    for result in asyncio.run(told()):
        assert result.output.endswith(f"dial tcp: lookup {host}: no such host")


@pytest.mark.parametrize("size", [0, 1, 127, 128, 300])
def test_a_grpc_service_may_have_a_long_name(size: int) -> None:
    request = grpc.check_request("s" * size)
    assert request[-size:] == b"s" * size if size else request == b""
    head = {0: b"", 1: b"\x0a\x01", 127: b"\x0a\x7f", 128: b"\x0a\x80\x01", 300: b"\x0a\xac\x02"}[size]
    assert request == head + b"s" * size


def hook(handler: dict[str, Any]) -> Coroutine[Any, Any, None]:
    wanted = msgspec.convert(handler, LifecycleHandler)
    return hooks.run(MemoryRuntime(SystemClock()), wanted, Container(name="c", image="i"), "c", "127.0.0.1")


def test_an_http_hook_takes_any_status_for_an_answer() -> None:
    async def told() -> list[bytes]:
        server = Server(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")
        async with listening(server):
            await hook({"httpGet": {"port": server.port, "host": "127.0.0.1"}})
            return server.asked

    (asked,) = asyncio.run(told())
    assert b"User-Agent: kube-lifecycle/1.37\r\n" in asked


def test_a_hook_that_cannot_be_made_has_failed_and_holds_nothing_up() -> None:
    with pytest.raises(hooks.HookFailed, match="couldn't find port: nope"):
        asyncio.run(hook({"httpGet": {"port": "nope"}}))
    with pytest.raises(hooks.HookFailed, match="connection refused"):
        asyncio.run(hook({"httpGet": {"port": 1, "host": "127.0.0.1"}}))
