"""A WebSocket client in front, a server behind that speaks SPDY only: what arrives at either end."""

import asyncio
import contextlib

from knarr.wire import channels, http, spdy, spdy_client, spdy_session, upgrades
from knarr.wire.connection import StreamConnection
from tests.unit.wire.pair import SpdyAnswers, SpdyClient, pair
from tests.unit.wire.test_streams import ALL, Browser, capitals, echo_port, spdy_request, upgraded, websocket_request


def joined(upstream: StreamConnection, wanted: channels.Wanted = ALL) -> http.Response:
    async def run(streams: channels.Streams) -> None:
        await spdy_client.remote_command(upstream, streams)

    return upgrades.remote_command(websocket_request("v5.channel.k8s.io"), wanted, run)


async def test_a_command_of_a_websocket_client_runs_on_a_server_that_speaks_spdy() -> None:
    behind = upgrades.remote_command(spdy_request("v4.channel.k8s.io"), ALL, capitals)
    async with pair() as (runtime, upstream), pair() as (front, client):
        serving = upgraded(behind, runtime)
        running = upgraded(joined(upstream), front)
        browser = Browser(client)
        await browser.send(b"\x00abc")
        await browser.send(b"\xff\x00")
        await browser.until(lambda: browser.closed)
        assert sorted(browser.messages) == [
            b"\x01", b"\x01ABC", b"\x02that was all", b'\x03{"status":"Failure","message":"exit 3"}',
        ]  # fmt: skip
        client.close()
        await asyncio.gather(running, serving)


async def test_a_terminals_size_and_much_output_arrive() -> None:
    size: list[tuple[int, int] | None] = []

    async def terminal(streams: channels.Streams) -> None:
        size.append(await streams.next_resize())
        await streams.write(1, bytes(1_000_000))
        await streams.finish(b'{"status":"Success"}')

    wanted = channels.Wanted(stdin=True, stdout=True, tty=True)
    behind = upgrades.remote_command(spdy_request("v4.channel.k8s.io"), wanted, terminal)
    async with pair() as (runtime, upstream), pair() as (front, client):
        serving = upgraded(behind, runtime)
        running = upgraded(joined(upstream, wanted), front)
        browser = Browser(client)
        await browser.send(b'\x04{"Width":80,"Height":24}')
        await browser.until(lambda: browser.closed)
        assert size == [(80, 24)]
        assert sum(len(message) - 1 for message in browser.messages if message[0] == 1) == 1_000_000
        client.close()
        await asyncio.gather(running, serving)


async def test_bytes_right_before_a_servers_reset_count() -> None:
    async with pair() as (runtime, upstream):
        session = spdy_session.ClientSession(upstream)
        async with spdy_client.reading(session, upstream):
            stream = await session.open({"streamtype": "stdout"})
            await runtime.write(spdy.data(1, b"last words") + spdy.reset(1, spdy.CANCEL) + spdy.goaway(1))
            assert [await stream.read(), await stream.read()] == [b"last words", b""]


async def test_a_runtime_that_breaks_off_gives_the_client_a_failure() -> None:
    async with pair() as (runtime, upstream), pair() as (front, client):
        running = upgraded(joined(upstream), front)
        browser = Browser(client)
        await runtime.read()
        runtime.close()
        await browser.until(lambda: browser.closed)
        assert b"closed the connection without a status" in browser.messages[-1]
        client.close()
        await running


async def test_a_client_that_leaves_ends_the_command_behind() -> None:
    left = asyncio.Event()

    async def wait(streams: channels.Streams) -> None:
        await streams.gone()
        left.set()

    behind = upgrades.remote_command(spdy_request("v4.channel.k8s.io"), ALL, wait)
    async with pair() as (runtime, upstream), pair() as (front, client):
        serving = upgraded(behind, runtime)
        running = upgraded(joined(upstream), front)
        await client.read()
        client.close()
        async with asyncio.timeout(5):
            await left.wait()
            await asyncio.gather(running, serving)


async def test_a_server_that_opens_streams_of_its_own_is_left() -> None:
    async with pair() as (runtime, upstream):
        session = spdy_session.ClientSession(upstream)
        async with spdy_client.reading(session, upstream), asyncio.timeout(5):
            await runtime.write(SpdyClient().open(1, {"streamtype": "error"}))
            await session.gone.wait()
            refused = False
            try:
                await session.open({})
            except ConnectionError:
                refused = True
            assert refused


async def test_forwarded_ports_of_a_websocket_client_reach_a_server_that_speaks_spdy() -> None:
    behind = upgrades.port_forward(spdy_request("portforward.k8s.io"), [], echo_port)
    async with pair() as (runtime, upstream), pair() as (front, client):
        serving = upgraded(behind, runtime)
        session = spdy_session.ClientSession(upstream)

        async def run(streams: channels.PortStreams) -> None:
            with contextlib.suppress(ConnectionError):
                await spdy_client.port_forward(session, streams, str(streams.port))

        response = upgrades.port_forward(websocket_request("SPDY/3.1+portforward.k8s.io"), [], run)
        async with spdy_client.reading(session, upstream):
            running = upgraded(response, front)
            browser, frames, answers = Browser(client), SpdyClient(), SpdyAnswers()
            for request, port in enumerate((80, 99)):
                for offset, kind in enumerate(("error", "data")):
                    headers = {"streamtype": kind, "port": str(port), "requestid": str(request)}
                    await browser.send(frames.open(4 * request + 2 * offset + 1, headers))
            await browser.send(spdy.data(3, b"abc"))

            def is_answered() -> bool:
                while browser.messages:
                    answers.feed(browser.messages.pop(0))
                return {3: b"80:abc", 5: b"nobody listens"}.items() <= answers.content.items()

            await browser.until(is_answered)
            client.close()
            await running
        await serving
