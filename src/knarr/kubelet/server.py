"""The kubelet's HTTPS server: exec, attach, port-forward, logs, and pages that others fill.

Every request needs a user whom authorisation.py knows and lets pass; else the answer is 401 or 403. Upgrades are
refused like everything else: there is no other way in (SEC-13, SEC-14).
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from knarr.base import errors
from knarr.base.clock import Clock, SystemClock
from knarr.base.tasks import Ready
from knarr.cri.protocol import RuntimeService
from knarr.kubelet import authorisation, log_lines, streams
from knarr.kubelet.authorisation import Administrators, Guard
from knarr.kubelet.ends import Ends
from knarr.kubelet.relay import Relay
from knarr.kubelet.streams import Named
from knarr.wire import http, http_head
from knarr.wire.http_client import Client
from knarr.wire.http_server import Server

_CODES: Final[tuple[tuple[type[errors.KnarrError], int], ...]] = (
    (errors.NotFound, 404),
    (errors.BadRequest, 400),
    (errors.Invalid, 400),
    (errors.TooMany, 429),
    (errors.Unimplemented, 501),
    (errors.Unavailable, 503),
    (errors.DeadlineExceeded, 504),
)

Page = Callable[[http.Request], Awaitable[http.Response]]
Previous = Callable[[str, str, str], str | None]
"""(namespace, pod, container) → the id of the run before, None if there was none."""


def no_previous(_namespace: str, _pod: str, _container: str) -> None:
    return None


@dataclass(slots=True)
class KubeletServer:
    """`pages` are further GET paths, e.g. /pods, /metrics, /stats/summary, /metrics/resource.

    `is_spdy_only` and `streaming` are relay.py's; `previous` says whose log `--previous` asks for, `ends` (the one
    that hears the runtime's events) when one that is followed has ended.
    """

    runtime: RuntimeService
    log_root: Path
    ends: Ends
    pages: Mapping[str, Page] = field(default_factory=dict)
    guard: Guard = field(default_factory=Administrators)
    clock: Clock = field(default_factory=SystemClock)
    client: Client = field(default_factory=Client)
    is_spdy_only: bool = False
    streaming: http.Handler | None = None
    previous: Previous = no_previous

    async def run(self, ready: Ready, *, host: str, port: int, context: ssl.SSLContext) -> None:
        """Serve until cancelled."""
        server = Server(self.answer)
        await server.listen_tcp(host, port, tls=context)
        ready()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await server.close(1.0)
            await self.client.close()

    async def answer(self, request: http.Request) -> http.Response:
        """The response to one request; errors become plain text, as upstream's kubelet has them."""
        try:
            who = await self.guard.authenticate(request)
            if who is None:
                return http_head.plain(401, "Unauthorized")
            if not await self.guard.allows(who, request):
                verb, subresources = authorisation.wanted(request.method, request.path)
                asked = f"user={who.name}, verb={verb}, resource=nodes, subresource(s)=[{' '.join(subresources)}]"
                return http_head.plain(403, f"Forbidden ({asked})")
            return await self._route(request)
        except errors.KnarrError as error:
            status = next((code for kind, code in _CODES if isinstance(error, kind)), 500)
            return http.Response(status, (("content-type", "text/plain; charset=utf-8"),), f"{error}\n".encode())

    async def _route(self, request: http.Request) -> http.Response:
        parts = [unquote(part) for part in request.path.strip("/").split("/")]
        relay = Relay(self.client, self.is_spdy_only, self.streaming)
        match parts:
            case ["healthz"]:
                return http.Response(200, (("content-type", "text/plain; charset=utf-8"),), b"ok")
            case ["exec", namespace, pod, container] | ["exec", namespace, pod, _, container]:
                return await streams.exec_(self.runtime, relay, request, Named(namespace, pod, container))
            case ["attach", namespace, pod, container] | ["attach", namespace, pod, _, container]:
                return await streams.attach(self.runtime, relay, request, Named(namespace, pod, container))
            case ["portForward", namespace, pod] | ["portForward", namespace, pod, _]:
                return await streams.port_forward(self.runtime, relay, request, Named(namespace, pod))
            case ["containerLogs", namespace, pod, container]:
                wanted = log_lines.options(request.query, self.clock.now())
                named = Named(namespace, pod, container)
                previous = self.previous(namespace, pod, container) if wanted.previous else None
                return await streams.logs(self.runtime, self.log_root, named, wanted, ends=self.ends, previous=previous)
        page = self.pages.get(request.path.rstrip("/"))
        if page is None or request.method not in ("GET", "HEAD"):
            return http_head.plain(404, "page not found")
        return await page(request)
