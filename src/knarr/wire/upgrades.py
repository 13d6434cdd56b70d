"""Upgrade requests for exec, attach and port-forward: choose the protocol, answer 101, run the streams.

`remote_command` and `port_forward` return the response to an upgrade request, whichever of WebSocket and SPDY the
client speaks; `run` is called with the streams once they are there. Who may ask is decided before.
"""

import asyncio
import base64
import binascii
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from knarr.wire import channels, http, http_head, spdy_streams, websocket

REMOTE_COMMAND: Final = {
    "v5.channel.k8s.io": 5,
    "v4.channel.k8s.io": 4,
    "v3.channel.k8s.io": 3,
    "v2.channel.k8s.io": 2,
    "channel.k8s.io": 1,
}
WEBSOCKET: Final = {
    "v5.channel.k8s.io": (5, False),
    "v4.channel.k8s.io": (4, False),
    "v4.base64.channel.k8s.io": (4, True),
    "channel.k8s.io": (1, False),
    "base64.channel.k8s.io": (1, True),
}
PORT_FORWARD: Final = "portforward.k8s.io"
PORT_FORWARD_TUNNEL: Final = "SPDY/3.1+portforward.k8s.io"
PORTS_MAX: Final = 64
_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

Run = Callable[[channels.Streams], Awaitable[None]]
RunPort = Callable[[channels.PortStreams], Awaitable[None]]


def remote_command(request: http.Request, wanted: channels.Wanted, run: Run) -> http.Response:
    """The response to an exec or attach request; `run` must call `finish` on its streams."""
    if is_websocket(request):
        offered = offered_protocols(request)
        name = next((name for name in offered if name in WEBSOCKET), None)
        if name is None and offered:
            return http_head.plain(400, f"none of the protocols {', '.join(offered)} is supported")
        version, is_base64 = WEBSOCKET[name or "channel.k8s.io"]

        async def run_websocket(connection: http.Connection) -> None:
            socket = websocket.WebSocket(connection, is_text=is_base64)
            streams = websocket.WebSocketStreams(socket, wanted, version, is_base64=is_base64)
            reading = asyncio.create_task(streams.run(), name="websocket")
            try:
                await streams.greet()
                await run(streams)
                await websocket.farewell(reading)
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

        return accept_websocket(request, name, run_websocket)
    if not is_spdy(request):
        return _not_an_upgrade(request)
    names = request.header_all("x-stream-protocol-version")
    chosen = next((name for name in _split(names) if name in REMOTE_COMMAND and name != "v5.channel.k8s.io"), None)
    if chosen is None and names:
        return _no_common_protocol(sorted(REMOTE_COMMAND, key=REMOTE_COMMAND.__getitem__, reverse=True)[1:])
    spdy_version = REMOTE_COMMAND[chosen or "channel.k8s.io"]

    async def run_spdy(connection: http.Connection) -> None:
        await spdy_streams.remote_command(connection, wanted, spdy_version, run)

    return _accept_spdy(chosen, run_spdy)


def port_forward(request: http.Request, ports: Sequence[int], run: RunPort) -> http.Response:
    """The response to a port-forward request; `ports` are the query's (only the older WebSocket form has any)."""
    if is_websocket(request):
        offered = offered_protocols(request)
        if PORT_FORWARD_TUNNEL in offered:
            return accept_websocket(request, PORT_FORWARD_TUNNEL, _tunnelled(run))
        name = next((name for name in offered if name.startswith("v4.") and name in WEBSOCKET), None)
        if name is None and offered:
            return http_head.plain(400, f"none of the protocols {', '.join(offered)} is supported")
        if not 0 < len(ports) <= PORTS_MAX:
            return http_head.plain(400, "query parameter ports is required")
        return accept_websocket(request, name, _channelled(run, ports, is_base64=WEBSOCKET[name][1] if name else False))
    if not is_spdy(request):
        return _not_an_upgrade(request)
    names = request.header_all("x-stream-protocol-version")
    if names and PORT_FORWARD not in _split(names):
        return _no_common_protocol([PORT_FORWARD])

    async def run_spdy(connection: http.Connection) -> None:
        await spdy_streams.port_forward(connection, run)

    return _accept_spdy(PORT_FORWARD, run_spdy)


def is_websocket(request: http.Request) -> bool:
    return _asks_upgrade(request) and "websocket" in request.header("upgrade").lower()


def is_spdy(request: http.Request) -> bool:
    return _asks_upgrade(request) and "spdy/3.1" in request.header("upgrade").lower()


def _tunnelled(run: RunPort) -> http.Upgraded:
    async def run_tunnel(connection: http.Connection) -> None:
        await spdy_streams.port_forward(websocket.WebSocketConnection(websocket.WebSocket(connection)), run)

    return run_tunnel


def _channelled(run: RunPort, ports: Sequence[int], *, is_base64: bool) -> http.Upgraded:
    async def run_channels(connection: http.Connection) -> None:
        socket = websocket.WebSocket(connection, is_text=is_base64)
        streams = [
            websocket.WebSocketPort(socket, port, 2 * index, is_base64=is_base64) for index, port in enumerate(ports)
        ]
        reading = asyncio.create_task(websocket.dispatch(socket, streams, is_base64=is_base64), name="websocket")
        try:
            with contextlib.suppress(ConnectionError):
                for stream in streams:
                    await stream.greet()
                await asyncio.gather(*(run(stream) for stream in streams))
                await socket.close()
                await websocket.farewell(reading)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    return run_channels


def _asks_upgrade(request: http.Request) -> bool:
    return "upgrade" in _split([value.lower() for value in request.header_all("connection")])


def _split(values: Sequence[str]) -> list[str]:
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def offered_protocols(request: http.Request) -> list[str]:
    return _split(request.header_all("sec-websocket-protocol"))


def accept_websocket(request: http.Request, name: str | None, upgraded: http.Upgraded) -> http.Response:
    key = request.header("sec-websocket-key")
    try:
        is_valid = len(base64.b64decode(key, validate=True)) == 16
    except (binascii.Error, ValueError):
        is_valid = False
    if not is_valid or request.header("sec-websocket-version") != "13" or request.method != "GET":
        return http_head.plain(400, "not a WebSocket handshake of version 13")
    accepted = base64.b64encode(hashlib.sha1(key.encode() + _MAGIC, usedforsecurity=False).digest()).decode()
    headers = (("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", accepted))
    protocol = (("sec-websocket-protocol", name),) if name is not None else ()
    return http.Response(101, (*headers, *protocol), b"", upgraded)


def _accept_spdy(name: str | None, upgraded: http.Upgraded) -> http.Response:
    headers = (("connection", "Upgrade"), ("upgrade", "SPDY/3.1"))
    protocol = (("x-stream-protocol-version", name),) if name is not None else ()
    return http.Response(101, (*headers, *protocol), b"", upgraded)


def _no_common_protocol(names: Sequence[str]) -> http.Response:
    """As upstream: 403 and the versions that would do."""
    refusal = http_head.plain(403, "unable to upgrade: unable to negotiate protocol")
    accepted = tuple(("x-accepted-stream-protocol-versions", name) for name in names)
    return http.Response(403, (*refusal.headers, *accepted), refusal.body)


def _not_an_upgrade(request: http.Request) -> http.Response:
    fields = [(name, value) for name, value in request.headers if name in ("connection", "upgrade")]
    return http_head.plain(400, f"unable to upgrade: missing upgrade headers in request: {fields}")
