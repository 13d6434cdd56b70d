"""A tunnel: forward an upgrade request to the next server and copy bytes both ways once both have upgraded.

When the next server answers anything but 101 its answer goes back and the connection ends: no byte of the client is
forwarded then (CVE-2018-1002105). Only the headers of the upgrade itself travel: no credentials, no cookies.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Final

from knarr.wire import http
from knarr.wire.http_client import Client, Target

FORWARDED: Final = frozenset(
    {
        "connection", "upgrade", "user-agent", "x-stream-protocol-version", "sec-websocket-key",
        "sec-websocket-version", "sec-websocket-protocol", "sec-websocket-extensions",
    }
)  # fmt: skip
RETURNED: Final = frozenset(
    {
        "connection", "upgrade", "x-stream-protocol-version", "sec-websocket-accept", "sec-websocket-protocol",
        "x-accepted-stream-protocol-versions", "content-type",
    }
)  # fmt: skip
REFUSAL_BYTES_MAX: Final = 64 * 1024
LINGER_SECONDS: Final = 5.0
IDLE_SECONDS: Final = 4 * 3600.0
"""As upstream's streamingConnectionIdleTimeout."""


async def tunnel(client: Client, target: Target, request: http.Request, path: str, query: str = "") -> http.Response:
    """The response to `request`, which asks to upgrade: the next server's own. Raises as Client.upgrade."""
    headers = tuple((name, value) for name, value in request.headers if name in FORWARDED)
    forwarded = http.Request(request.method, path, query, headers)
    response, upstream = await client.upgrade(target, forwarded)
    returned = tuple((name, value) for name, value in response.headers if name in RETURNED)
    if upstream is None:
        content = await response.read(REFUSAL_BYTES_MAX)
        kept = tuple((name, value) for name, value in returned if name not in ("connection", "upgrade"))
        return http.Response(response.status, kept, content)

    # In a WebSocket both have said good-bye when the server closes, and a client waits for that (RFC 6455, 7.1.1).
    lingers = "websocket" not in request.header("upgrade").lower()

    async def upgraded(connection: http.Connection) -> None:
        await join(connection, upstream, linger_seconds=LINGER_SECONDS if lingers else 0.0)

    return http.Response(101, returned, b"", upgraded)


async def join(
    client: http.Connection,
    upstream: http.Connection,
    *,
    idle_seconds: float = IDLE_SECONDS,
    linger_seconds: float = LINGER_SECONDS,
) -> None:
    """Copy both ways until either side has ended, or nothing moved for `idle_seconds`; closes both.

    A client that ends is gone: the protocols inside have their own ways to end one stream, and TLS has no half-close.
    An upstream that ends may have said its last words only now, so the client is given `linger_seconds` to close first:
    what it still sends would otherwise reset the connection before it has read them.
    """
    traffic = _Traffic()
    forth = asyncio.create_task(_copy(client, upstream, traffic), name="tunnel forth")
    back = asyncio.create_task(_copy(upstream, client, traffic), name="tunnel back")
    try:
        seen = -1
        while not (forth.done() or back.done()) and seen != traffic.pieces:
            seen = traffic.pieces
            await asyncio.wait({forth, back}, timeout=idle_seconds, return_when=asyncio.FIRST_COMPLETED)
        if back.done() and not forth.done() and back.result():
            await asyncio.wait({forth}, timeout=linger_seconds)
    finally:
        for copy in (forth, back):
            copy.cancel()
        if _broke_off(back):  # the client is gone: what it sent may wait for room upstream for ever
            upstream.abort()
        client.close()
        upstream.close()
        await asyncio.gather(forth, back, return_exceptions=True)


def _broke_off(copy: "asyncio.Task[bool]") -> bool:
    """Whether it ended because its sink, or its source, was gone."""
    return copy.done() and not copy.cancelled() and copy.exception() is None and not copy.result()


@dataclass(slots=True)
class _Traffic:
    """How many pieces moved, either way."""

    pieces: int = 0


async def _copy(source: http.Connection, sink: http.Connection, traffic: _Traffic) -> bool:
    """True when the source ended in order and the sink was told; False when a side broke off."""
    with contextlib.suppress(ConnectionError):
        while content := await source.read():
            traffic.pieces += 1
            await sink.write(content)
        await sink.close_write()
        return True
    return False
