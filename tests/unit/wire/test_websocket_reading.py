"""A log and a watch over a WebSocket: which messages a browser gets, and that the body ends when it leaves."""

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest

from knarr.wire import websocket_reading
from tests.unit.wire.pair import pair
from tests.unit.wire.test_streams import Browser, upgraded, websocket_request


class Body:
    """Pieces, then an end or an endless wait; knows whether it was closed."""

    def __init__(self, *pieces: bytes, ends: bool = True) -> None:
        self._pieces = list(pieces)
        self._ends = ends
        self.is_closed = asyncio.Event()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._pieces:
            return self._pieces.pop(0)
        if not self._ends:
            await asyncio.Event().wait()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.is_closed.set()


@pytest.mark.parametrize(
    ("protocols", "messages"),
    [
        (("binary.k8s.io",), [b"", b"one\n", b"two\n"]),
        (("v9.unknown", "binary.k8s.io"), [b"", b"one\n", b"two\n"]),
        (("base64.binary.k8s.io",), [b"", base64.b64encode(b"one\n"), base64.b64encode(b"two\n")]),
        ((), [b"", b"one\n", b"two\n"]),
    ],
)
async def test_a_log_begins_with_an_empty_message_and_ends_with_the_body(
    protocols: tuple[str, ...], messages: list[bytes]
) -> None:
    body = Body(b"one\n", b"two\n")
    response = await websocket_reading.content(websocket_request(*protocols), body)
    async with pair() as (server, client):
        running = upgraded(response, server)
        browser = Browser(client)
        await browser.until(lambda: browser.closed)
        assert browser.messages == messages
        client.close()
        await running
    assert body.is_closed.is_set()


async def test_a_protocol_that_a_log_does_not_speak_is_refused_and_the_body_closed() -> None:
    body = Body()
    assert (await websocket_reading.content(websocket_request("v5.channel.k8s.io"), body)).status == 403
    assert body.is_closed.is_set()


async def test_each_event_of_a_watch_is_one_text_message_whatever_came_at_once() -> None:
    response = await websocket_reading.lines(websocket_request("any"), Body(b'{"a":1}\n{"a":2}\n', b'{"a":3}\n'))
    assert ("sec-websocket-protocol", "any") in response.headers
    async with pair() as (server, client):
        running = upgraded(response, server)
        browser = Browser(client)
        await browser.until(lambda: browser.closed)
        assert browser.messages == [b'{"a":1}\n', b'{"a":2}\n', b'{"a":3}\n']
        client.close()
        await running


async def test_a_browser_that_leaves_ends_a_watch_that_says_nothing() -> None:
    body = Body(ends=False)
    response = await websocket_reading.lines(websocket_request(), body)
    async with pair() as (server, client):
        running = upgraded(response, server)
        client.close()
        async with asyncio.timeout(5):
            await running
    assert body.is_closed.is_set()


async def test_a_body_that_fails_is_not_ended_as_if_it_were_whole() -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"one\n"
        raise OSError("the node is lost")

    response = await websocket_reading.content(websocket_request(), broken())
    async with pair() as (server, client):
        running = upgraded(response, server)
        browser = Browser(client)
        await browser.until(lambda: len(browser.messages) == 2)
        with pytest.raises(OSError, match="the node is lost"):
            await running
        assert not browser.closed
        server.close()
        assert await client.read() == b""


@pytest.mark.parametrize(("others", "spoken"), [((), []), (("any",), ["any"])])
async def test_a_token_that_came_as_a_protocol_is_not_answered_with(others: tuple[str, ...], spoken: list[str]) -> None:
    request = websocket_request("base64url.bearer.authorization.k8s.io.c2VjcmV0", *others)
    response = await websocket_reading.lines(request, Body())
    assert response.status == 101
    assert [value for name, value in response.headers if name == "sec-websocket-protocol"] == spoken
