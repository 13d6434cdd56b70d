"""A peer that is held back is sent something until there is room, and found out when it has gone."""

import asyncio

import pytest

from knarr.wire import channels, heartbeat, spdy
from knarr.wire.spdy_session import STREAM_AHEAD, Session
from knarr.wire.websocket import WebSocket
from tests.unit.wire.pair import SpdyAnswers, SpdyClient, pair

SOON = 0.01


async def nothing() -> None:
    """A beat that finds the peer there."""


async def gone() -> None:
    raise ConnectionResetError("the other side closed the connection")


async def test_waiting_ends_when_there_is_room() -> None:
    taken, beats = asyncio.Event(), 0

    async def beat() -> None:
        nonlocal beats
        beats += 1
        if beats == 3:
            taken.set()

    await heartbeat.until(taken, beat, SOON)
    assert beats == 3


async def test_waiting_ends_when_there_is_room_though_the_beat_finds_none() -> None:
    taken, held = asyncio.Event(), asyncio.Event()

    async def beat() -> None:
        taken.set()
        await held.wait()  # the peer reads nothing, and does not go

    async with asyncio.timeout(10):
        await heartbeat.until(taken, beat, SOON)


async def test_waiting_ends_when_the_peer_is_gone() -> None:
    with pytest.raises(ConnectionResetError):
        await heartbeat.until(asyncio.Event(), gone, SOON)


async def test_input_for_a_command_that_does_not_read_ends_when_the_client_is_gone() -> None:
    incoming = channels.Incoming(gone, SOON)
    with pytest.raises(ConnectionResetError):
        await incoming.add_stdin(bytes(channels.STDIN_AHEAD + 1))


async def test_input_waits_for_a_late_command_while_the_client_is_there() -> None:
    incoming = channels.Incoming(nothing, SOON)
    adding = asyncio.create_task(incoming.add_stdin(bytes(channels.STDIN_AHEAD + 1)))
    done, _ = await asyncio.wait({adding}, timeout=5 * SOON)
    assert not done
    assert len(await incoming.read_stdin()) == channels.STDIN_AHEAD + 1
    await adding


async def test_a_spdy_session_that_is_held_back_ends_when_its_client_is_gone() -> None:
    async with pair() as (server, client):
        running = asyncio.create_task(Session(server, lambda _stream: None, beat_seconds=SOON).run())
        await client.write(SpdyClient().open(1, {"streamtype": "stdin"}))
        flood = asyncio.create_task(client.write(spdy.data(1, bytes(4 * STREAM_AHEAD))))
        answers = SpdyAnswers()
        async with asyncio.timeout(10):
            while not answers.pongs:
                answers.feed(await client.read())
            client.abort()
            await running
        await asyncio.gather(flood, return_exceptions=True)
    assert set(answers.pongs) == {b"\x7f\xff\xff\xff"}


async def test_a_websocket_beats_with_a_pong_that_nobody_answers() -> None:
    async with pair() as (server, client):
        await WebSocket(server).beat()
        assert await client.read() == b"\x8a\x00"
