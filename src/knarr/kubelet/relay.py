"""From a client's upgrade request to the streaming URL that the runtime gave for it.

The upgrade is tunnelled as it is, with two exceptions: a runtime that speaks SPDY only gets a WebSocket client's
streams translated (docs/decisions/0002), and one in this process answers itself: no loopback, no copies in between.
Which runtime is which is assembly's to say. Not here: whose streams (streams.py).
"""

import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import urlsplit

from knarr.base.errors import Unavailable
from knarr.wire import channels, http, http_head, spdy_client, tunnel, upgrades
from knarr.wire.http_client import Client, Target
from knarr.wire.spdy_session import ClientSession

REFUSAL_BYTES_MAX: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Relay:
    """`is_spdy_only`: the runtime's streaming server cannot be trusted to know WebSocket v5 (containerd).
    `own`: the streaming server of the runtime in this process, if it is the one that gives the URLs."""

    client: Client
    is_spdy_only: bool = False
    own: http.Handler | None = None

    async def remote_command(self, request: http.Request, url: str, wanted: channels.Wanted) -> http.Response:
        """The response to an exec or attach request."""
        if not (self.is_spdy_only and upgrades.is_websocket(request)):
            return await self._tunnel(request, url)
        upstream = await self._dial(url, spdy_client.PROTOCOL)
        if isinstance(upstream, http.Response):
            return upstream

        async def run(streams: channels.Streams) -> None:
            await spdy_client.remote_command(upstream, streams)

        return _closing(upgrades.remote_command(request, wanted, run), upstream)

    async def port_forward(self, request: http.Request, url: str, ports: Sequence[int]) -> http.Response:
        """The response to a port-forward request; `ports` are those of the query."""
        if not (self.is_spdy_only and upgrades.is_websocket(request)):
            return await self._tunnel(request, url, f"ports={','.join(map(str, ports))}" if ports else "")
        upstream = await self._dial(url, upgrades.PORT_FORWARD)
        if isinstance(upstream, http.Response):
            return upstream
        session = ClientSession(upstream)
        names = itertools.count()

        async def run(streams: channels.PortStreams) -> None:
            await spdy_client.port_forward(session, streams, str(next(names)))

        accepted = upgrades.port_forward(request, ports, run)
        serve = accepted.upgrade
        if serve is None:
            upstream.close()
            return accepted

        async def upgraded(connection: http.Connection) -> None:
            async with spdy_client.reading(session, upstream):
                await serve(connection)

        return replace(accepted, upgrade=upgraded)

    async def _tunnel(self, request: http.Request, url: str, query: str = "") -> http.Response:
        target, path, own_query = _place(url)
        if self.own is not None:
            return await self.own(replace(request, path=path, query=query or own_query))
        return await tunnel.tunnel(self.client, target, request, path, query or own_query)

    async def _dial(self, url: str, protocol: str) -> http.Connection | http.Response:
        """An upgraded SPDY connection to the URL, or what the runtime answered instead."""
        target, path, query = _place(url)
        headers = (("connection", "Upgrade"), ("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", protocol))
        response, upstream = await self.client.upgrade(target, http.Request("POST", path, query, headers))
        if upstream is None:
            content = await response.read(REFUSAL_BYTES_MAX)
            return http_head.plain(response.status, content.decode(errors="replace").strip())
        return upstream


def _closing(accepted: http.Response, upstream: http.Connection) -> http.Response:
    """The same response, which lets go of the runtime's connection when it is over, or was a refusal."""
    serve = accepted.upgrade
    if serve is None:
        upstream.close()
        return accepted

    async def upgraded(connection: http.Connection) -> None:
        with contextlib.closing(upstream):
            await serve(connection)

    return replace(accepted, upgrade=upgraded)


def _place(url: str) -> tuple[Target, str, str]:
    """(target, path, query) of a streaming URL. Only a loopback address is believed: the URL is the runtime's word."""
    parts = urlsplit(url)
    host = parts.hostname or "127.0.0.1"
    if parts.scheme != "http" or host not in ("127.0.0.1", "::1", "localhost"):
        raise Unavailable(f"the runtime's streaming URL is not on this machine: {parts.scheme}://{host}")
    return Target(host, parts.port or 80), parts.path, parts.query
