"""Remote command and port-forward over SPDY and WebSocket: what arrives at either end."""

import asyncio
import base64
import gc
from collections.abc import Awaitable, Callable
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from knarr.wire import channels, http, spdy, spdy_session, upgrades
from knarr.wire.connection import StreamConnection
from tests.unit.wire.pair import SpdyAnswers, SpdyClient, pair

SPDY_HEADERS = (("connection", "Upgrade"), ("upgrade", "SPDY/3.1"))
KEY = base64.b64encode(bytes(16)).decode()
WEBSOCKET_HEADERS = (
    ("connection", "keep-alive, Upgrade"), ("upgrade", "websocket"), ("sec-websocket-key", KEY),
    ("sec-websocket-version", "13"),
)  # fmt: skip
ALL = channels.Wanted(stdin=True, stdout=True, stderr=True)


async def capitals(streams: channels.Streams) -> None:
    """A command: standard input in capitals, a complaint on standard error, then exit code 3."""
    while content := await streams.read_stdin():
        await streams.write(1, content.upper())
    await streams.write(2, b"that was all")
    await streams.finish(b'{"status":"Failure","message":"exit 3"}')


async def echo_port(streams: channels.PortStreams) -> None:
    if streams.port == 99:
        await streams.fail("nobody listens")
        return
    while content := await streams.read():
        await streams.write(b"%d:%b" % (streams.port, content))
    await streams.close_write()


def spdy_request(*versions: str) -> http.Request:
    return http.Request("POST", "/", "", SPDY_HEADERS + tuple(("x-stream-protocol-version", v) for v in versions))


def websocket_request(*protocols: str) -> http.Request:
    return http.Request("GET", "/", "", (*WEBSOCKET_HEADERS, ("sec-websocket-protocol", ", ".join(protocols))))


async def collected(client: StreamConnection, answers: SpdyAnswers, until: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not until():
            content = await client.read()
            assert content, "the server left"
            answers.feed(content)


def upgraded(response: http.Response, connection: StreamConnection) -> "asyncio.Task[Any]":
    assert response.status == 101, response.body
    assert response.upgrade is not None
    run: Awaitable[None] = response.upgrade(connection)
    return asyncio.ensure_future(run)


async def test_a_command_over_spdy() -> None:
    for version, ending in (("v4.channel.k8s.io", b'{"status":"Failure","message":"exit 3"}'), ("", b"exit 3")):
        response = upgrades.remote_command(spdy_request(*filter(None, [version])), ALL, capitals)
        async with pair() as (server, client):
            running = upgraded(response, server)
            frames, answers = SpdyClient(), SpdyAnswers()
            names = {1: "error", 3: "stdin", 5: "stdout", 7: "stderr"}
            for number, name in names.items():
                await client.write(frames.open(number, {"streamtype": name}))
            await client.write(spdy.data(3, b"abc") + spdy.pong(b"\0\0\0\1") + spdy.data(3, b"def", is_final=True))
            await collected(client, answers, lambda answers=answers: answers.has_left)  # type: ignore[misc]
            assert answers.content == {5: b"ABCDEF", 7: b"that was all", 1: ending, 3: b""}
            assert sorted(answers.ended) == [1, 3, 5, 7]
            assert answers.pongs == [b"\0\0\0\1"]
            client.close()
            await running


async def test_a_client_that_leaves_ends_the_command() -> None:
    left = asyncio.Event()

    async def wait(streams: channels.Streams) -> None:
        await streams.gone()
        left.set()

    for request in (spdy_request("v4.channel.k8s.io"), websocket_request("v5.channel.k8s.io")):
        left.clear()
        async with pair() as (server, client):
            running = upgraded(upgrades.remote_command(request, channels.Wanted(stdout=True), wait), server)
            frames = SpdyClient()
            if request.method == "POST":
                await client.write(frames.open(1, {"streamtype": "error"}) + frames.open(3, {"streamtype": "stdout"}))
            await client.read()
            client.close()
            async with asyncio.timeout(5):
                await left.wait()
                await running


async def test_a_spdy_session_leaves_nothing_for_the_garbage_collector() -> None:
    gc.collect()
    gc.disable()
    try:
        await test_a_command_over_spdy()
        await test_forwarded_ports_over_spdy()
        left = [thing for thing in gc.get_objects() if isinstance(thing, spdy_session.Session | spdy_session.Stream)]
        assert not left
    finally:
        gc.enable()


async def test_forwarded_ports_over_spdy() -> None:
    response = upgrades.port_forward(spdy_request("portforward.k8s.io"), [], echo_port)
    async with pair() as (server, client):
        running = upgraded(response, server)
        frames, answers = SpdyClient(), SpdyAnswers()
        for request, port in enumerate((80, 81, 99)):
            for offset, kind in enumerate(("error", "data")):
                headers = {"streamtype": kind, "port": str(port), "requestid": str(request)}
                await client.write(frames.open(4 * request + 2 * offset + 1, headers))
        await client.write(spdy.data(3, b"a") + spdy.data(7, b"b") + spdy.data(7, b"", is_final=True))
        wanted = {3: b"80:a", 7: b"81:b", 9: b"nobody listens"}
        await collected(client, answers, lambda: wanted.items() <= answers.content.items() and 7 in answers.ended)
        await collected(client, answers, lambda: 11 in answers.reset)
        client.close()
        await running


class Browser:
    """A WebSocket client on a connection."""

    def __init__(self, connection: StreamConnection) -> None:
        self.connection = connection
        self.protocol = Protocol(Side.CLIENT, state=State.OPEN)
        self.messages: list[bytes] = []
        self.closed = False

    async def send(self, content: bytes, *, text: bool = False) -> None:
        (self.protocol.send_text if text else self.protocol.send_binary)(content)
        await self._flush()

    async def until(self, enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not enough():
                self.protocol.receive_data(await self.connection.read())
                for frame in self.protocol.events_received():
                    assert isinstance(frame, Frame)
                    if frame.opcode in (Opcode.BINARY, Opcode.TEXT):
                        self.messages.append(bytes(frame.data))
                    self.closed = self.closed or frame.opcode is Opcode.CLOSE
                await self._flush()

    async def _flush(self) -> None:
        for content in self.protocol.data_to_send():
            if content:
                await self.connection.write(content)


async def test_a_command_over_websocket_v5_closes_its_input() -> None:
    response = upgrades.remote_command(websocket_request("v5.channel.k8s.io"), ALL, capitals)
    assert ("sec-websocket-protocol", "v5.channel.k8s.io") in response.headers
    async with pair() as (server, client):
        running = upgraded(response, server)
        browser = Browser(client)
        await browser.send(b"\x00abc")
        await browser.send(b"\xff\x00")
        await browser.until(lambda: browser.closed)
        assert browser.messages == [
            b"\x01", b"\x01ABC", b"\x02that was all", b'\x03{"status":"Failure","message":"exit 3"}',
        ]  # fmt: skip
        client.close()
        await running


async def test_base64_channels_and_sizes() -> None:
    sizes: list[tuple[int, int] | None] = []

    async def terminal(streams: channels.Streams) -> None:
        sizes.append(await streams.next_resize())
        await streams.write(1, await streams.read_stdin())
        await streams.finish(b'{"status":"Success"}')

    wanted = channels.Wanted(stdin=True, stdout=True, tty=True)
    response = upgrades.remote_command(websocket_request("v4.base64.channel.k8s.io"), wanted, terminal)
    async with pair() as (server, client):
        running = upgraded(response, server)
        browser = Browser(client)
        await browser.send(b"4" + base64.b64encode(b'{"Width":80,"Height":24}'), text=True)
        await browser.send(b"0" + base64.b64encode(b"x"), text=True)
        await browser.until(lambda: browser.closed)
        assert browser.messages == [
            b"1",
            b"1" + base64.b64encode(b"x"),
            b"3" + base64.b64encode(b'{"status":"Success"}'),
        ]
        assert sizes == [(80, 24)]
        client.close()
        await running


async def test_ports_over_websocket_channels_and_over_the_spdy_tunnel() -> None:
    response = upgrades.port_forward(websocket_request("v4.channel.k8s.io"), [80, 81], echo_port)
    async with pair() as (server, client):
        running = upgraded(response, server)
        browser = Browser(client)
        await browser.send(b"\x02abc")
        await browser.until(lambda: b"\x0281:abc" in browser.messages)
        assert browser.messages[:4] == [b"\x00P\x00", b"\x01P\x00", b"\x02Q\x00", b"\x03Q\x00"]
        client.close()
        await running
    response = upgrades.port_forward(websocket_request("SPDY/3.1+portforward.k8s.io"), [], echo_port)
    async with pair() as (server, client):
        running = upgraded(response, server)
        browser, frames, answers = Browser(client), SpdyClient(), SpdyAnswers()
        for number, kind in ((1, "error"), (3, "data")):
            await browser.send(frames.open(number, {"streamtype": kind, "port": "80", "requestid": "0"}))
        await browser.send(spdy.data(3, b"abc"))

        def has_answer() -> bool:
            while browser.messages:
                answers.feed(browser.messages.pop(0))
            return answers.content.get(3) == b"80:abc"

        await browser.until(has_answer)
        client.close()
        await running


async def test_a_port_over_websocket_channels_ends_when_the_pod_has_said_all() -> None:
    async def greeting(streams: channels.PortStreams) -> None:
        async def say() -> None:
            await streams.write(b"bye")
            await streams.close_write()

        async with asyncio.TaskGroup() as group:
            group.create_task(say())
            group.create_task(streams.read())

    response = upgrades.port_forward(websocket_request("v4.channel.k8s.io"), [80], greeting)
    async with pair() as (server, client):
        running = upgraded(response, server)
        browser = Browser(client)
        await browser.until(lambda: browser.closed)
        assert browser.messages == [b"\x00P\x00", b"\x01P\x00", b"\x00bye"]
        client.close()
        await running


def test_what_is_no_upgrade_or_speaks_nothing_common_is_refused() -> None:
    def status(response: http.Response) -> int:
        return response.status

    assert status(upgrades.remote_command(http.Request("GET", "/"), ALL, capitals)) == 400
    assert status(upgrades.remote_command(spdy_request("v9.channel.k8s.io"), ALL, capitals)) == 403
    assert status(upgrades.remote_command(websocket_request("chat"), ALL, capitals)) == 400
    assert status(upgrades.port_forward(websocket_request("v4.channel.k8s.io"), [], echo_port)) == 400
    bad_key = http.Request(
        "GET", "/", "", tuple((k, "x" if k == "sec-websocket-key" else v) for k, v in WEBSOCKET_HEADERS)
    )
    assert status(upgrades.remote_command(bad_key, ALL, capitals)) == 400


async def test_input_that_nobody_reads_holds_the_client_back() -> None:
    go = asyncio.Event()
    total = 0

    async def late(streams: channels.Streams) -> None:
        nonlocal total
        await go.wait()
        while content := await streams.read_stdin():
            total += len(content)
        await streams.finish(b'{"status":"Success"}')

    response = upgrades.remote_command(websocket_request("v5.channel.k8s.io"), channels.Wanted(stdin=True), late)
    async with pair() as (server, client):
        running = upgraded(response, server)
        browser = Browser(client)

        async def flood() -> None:
            for _ in range(200):
                await browser.send(b"\x00" + bytes(32_000))
            await browser.send(b"\xff\x00")

        sending = asyncio.create_task(flood())
        done, _ = await asyncio.wait({sending}, timeout=0.2)
        assert not done
        go.set()
        await sending
        await browser.until(lambda: browser.closed)
        assert total == 200 * 32_000
        client.close()
        await running
