"""A WebSocket that is over leaves nothing for the collector: a hundred streams come and go between two of its runs."""

import asyncio
import contextlib
import gc
from collections.abc import Iterator

import pytest
from websockets.protocol import Protocol

from knarr.wire.websocket import WebSocket
from tests.unit.wire.pair import pair

CLOSE = bytes.fromhex("888200000000") + (1000).to_bytes(2, "big")
"""A client's close frame; the mask is zero."""
HELLO = bytes.fromhex("828600000000") + b"\x00hello"
RESERVED = bytes.fromhex("8b8000000000")
"""An opcode that does not exist."""


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def protocols() -> int:
    return sum(isinstance(held, Protocol) for held in gc.get_objects())


async def read(socket: WebSocket) -> list[bytes]:
    return [content async for _, content in socket.pieces()]


@pytest.mark.parametrize("last", [CLOSE, b"", RESERVED], ids=["closing", "vanishing", "breaking the protocol"])
async def test_a_client_that_leaves_takes_its_protocol_along(uncollected: None, last: bytes) -> None:
    before = protocols()
    async with pair() as (server, client):
        socket = WebSocket(server)
        await client.write(HELLO + last)
        await client.close_write()
        assert await read(socket) == [b"\x00hello"]
    del socket
    assert protocols() == before


async def test_a_reader_that_is_cancelled_takes_the_protocol_along(uncollected: None) -> None:
    before = protocols()
    async with pair() as (server, _client):
        socket = WebSocket(server)
        reading = asyncio.create_task(read(socket))
        await asyncio.sleep(0)  # the reader waits now
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
    del socket, reading
    assert protocols() == before


async def test_what_is_sent_after_the_reading_is_over_still_goes_out() -> None:
    async with pair() as (server, client):
        socket = WebSocket(server)
        await client.close_write()
        assert await read(socket) == []
        await socket.send(b"\x03end")
        await socket.close()
        await socket.close()
        sent = b""
        while len(sent) < 6 + 4:
            sent += await client.read()
    assert sent == b"\x82\x04\x03end" + b"\x88\x02\x03\xe8"
