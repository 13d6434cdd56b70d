"""A body that a WebSocket carries one way, which is how a browser follows a log or a watch.

`content` sends the body's pieces as they come (a log), `lines` one text message for each line (a watch's events). What
the client sends is ignored; its good-bye ends the body. Streams that go both ways are in wire/upgrades.py.
"""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from websockets.exceptions import ProtocolError

from knarr.wire import http, upgrades, websocket

PROTOCOLS: Final = {"binary.k8s.io": False, "base64.binary.k8s.io": True}
"""The subprotocol → whether its messages are base64. None at all means the first."""
BEARER: Final = "base64url.bearer.authorization.k8s.io."
"""How a browser, which can set no header, sends its token: as a subprotocol."""


async def content(request: http.Request, body: AsyncIterator[bytes]) -> http.Response:
    """The response to a request for a log; an empty message comes first, so that the client knows that it is there."""
    offered = upgrades.offered_protocols(request)
    name = next((name for name in offered if name in PROTOCOLS), None)
    if name is None and offered:
        await _close(body)
        return http.Response(403)
    is_base64 = name is not None and PROTOCOLS[name]

    async def run(connection: http.Connection) -> None:
        await _send(websocket.WebSocket(connection, is_text=is_base64), _pieces(body, is_base64=is_base64))

    return await _accepted(request, name, body, run)


async def lines(request: http.Request, body: AsyncIterator[bytes]) -> http.Response:
    """The response to a request for a watch; it speaks whatever is offered, for its messages are the same in all.

    A token that came as a protocol is never answered with. It is not taken as a credential, either (upstream does)."""
    offered = upgrades.offered_protocols(request)
    name = next((name for name in offered if not name.startswith(BEARER)), None)

    async def run(connection: http.Connection) -> None:
        await _send(websocket.WebSocket(connection, is_text=True), _lines(body))

    return await _accepted(request, name, body, run)


async def _accepted(
    request: http.Request, name: str | None, body: AsyncIterator[bytes], run: http.Upgraded
) -> http.Response:
    async def upgraded(connection: http.Connection) -> None:
        try:
            await run(connection)
        finally:
            await _close(body)

    response = upgrades.accept_websocket(request, name, upgraded)
    if response.upgrade is None:
        await _close(body)
    return response


async def _send(socket: websocket.WebSocket, messages: AsyncIterator[bytes]) -> None:
    """Send until the messages end or the client leaves, whichever comes first."""
    reading = asyncio.create_task(_ignore(socket), name="websocket")
    sending = asyncio.create_task(_copy(messages, socket), name="websocket messages")
    try:
        await asyncio.wait({reading, sending}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()  # a body that failed gets no good-bye: the client must not take it for the whole
        if not reading.done():
            await socket.close()
            await websocket.farewell(reading)
    finally:
        for task in (reading, sending):
            task.cancel()
        await asyncio.gather(reading, sending, return_exceptions=True)


async def _copy(messages: AsyncIterator[bytes], socket: websocket.WebSocket) -> None:
    async for message in messages:
        await socket.send(message)


async def _ignore(socket: websocket.WebSocket) -> None:
    with contextlib.suppress(ConnectionError, ProtocolError):
        async for _ in socket.pieces():
            pass


async def _pieces(body: AsyncIterator[bytes], *, is_base64: bool) -> AsyncIterator[bytes]:
    yield b""
    async for piece in body:
        for start in range(0, len(piece), websocket.PIECE):
            part = piece[start : start + websocket.PIECE]
            yield base64.b64encode(part) if is_base64 else part


async def _lines(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for piece in body:
        for line in piece.splitlines(keepends=True):
            yield line


async def _close(body: AsyncIterator[bytes]) -> None:
    closing = getattr(body, "aclose", None)
    if closing is not None:
        await closing()
