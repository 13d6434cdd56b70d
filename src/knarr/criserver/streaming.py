"""The CRI streaming server: single-use URLs for exec, attach and port-forward, served on loopback.

Exec, Attach and PortForward of the CRI answer with a URL; whoever opens it within URL_SECONDS gets the streams, once.
The protocols are wire/upgrades.py's; what runs behind them is exec_streams.py and port_streams.py.
"""

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs

from knarr.base.errors import Invalid, TooMany
from knarr.base.ids import ContainerId
from knarr.cri.messages.container import AttachRequest, ExecRequest
from knarr.criserver import exec_streams, port_streams
from knarr.runtime.runtime import ExecSpec, Monitor, Runtime
from knarr.wire import channels, http, http_head, upgrades
from knarr.wire.http_server import Server

URL_SECONDS: Final = 60.0
URLS_MAX: Final = 1000
"""URLs that nobody opened yet, as upstream."""

Serve = Callable[[http.Request], http.Response]


class StreamingServer:
    """Hands out URLs and serves them. `start` before the first URL, `close` at the end."""

    def __init__(self, runtime: Runtime, monitor: Monitor) -> None:
        self._runtime = runtime
        self._monitor = monitor
        self._server = Server(self.answer)
        self._address = ""
        self._waiting: dict[str, tuple[float, Serve]] = {}

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        found = await self._server.listen_tcp(host, port)
        self._address = f"http://{host}:{found}"

    async def close(self) -> None:
        await self._server.close(0.5)

    def exec_url(self, request: ExecRequest) -> str:
        """A URL for one run of the command. The caller has checked that the container runs."""
        wanted = _wanted(request)
        container = ContainerId(request.container_id)
        spec = ExecSpec(arguments=request.cmd, has_terminal=request.tty)

        async def run(streams: channels.Streams) -> None:
            await exec_streams.run_exec(self._runtime, container, spec, streams)

        return self._url("exec", lambda opened: upgrades.remote_command(opened, wanted, run))

    def attach_url(self, request: AttachRequest, *, closes_stdin: bool = False) -> str:
        """A URL for one look at the container's streams; `closes_stdin` is the container's stdin_once."""
        wanted = _wanted(request)
        container = ContainerId(request.container_id)

        async def run(streams: channels.Streams) -> None:
            await exec_streams.run_attach(self._monitor, container, streams, closes_stdin=closes_stdin)

        return self._url("attach", lambda opened: upgrades.remote_command(opened, wanted, run))

    def port_forward_url(self, namespace: Path | None) -> str:
        """A URL for one port-forward session into a network namespace (None: the host's)."""

        async def run(streams: channels.PortStreams) -> None:
            await port_streams.run_port(namespace, streams)

        def serve(opened: http.Request) -> http.Response:
            return upgrades.port_forward(opened, _ports(opened), run)

        return self._url("portforward", serve)

    def _url(self, kind: str, serve: Serve) -> str:
        now = asyncio.get_running_loop().time()
        for token in [token for token, (due, _) in self._waiting.items() if due < now]:
            del self._waiting[token]
        if len(self._waiting) >= URLS_MAX:
            raise TooMany("maximum number of in-flight requests exceeded", after=URL_SECONDS)
        token = secrets.token_urlsafe(24)
        self._waiting[token] = (now + URL_SECONDS, serve)
        return f"{self._address}/{kind}/{token}"

    async def answer(self, request: http.Request) -> http.Response:
        """The response to one request for a URL; the kubelet of this process asks without a connection."""
        parts = request.path.split("/")
        due, serve = self._waiting.pop(parts[2], (0.0, None)) if len(parts) == 3 else (0.0, None)
        if serve is None or due < asyncio.get_running_loop().time():
            return http_head.plain(404)
        return serve(request)


def _wanted(request: ExecRequest | AttachRequest) -> channels.Wanted:
    """As the specification asks: at least one stream, and no separate stderr on a terminal."""
    if not (request.stdin or request.stdout or request.stderr):
        raise Invalid("one of stdin, stdout, or stderr must be set")
    if request.tty and request.stderr:
        raise Invalid("tty and stderr cannot both be true")
    return channels.Wanted(request.stdin, request.stdout, request.stderr, request.tty)


def _ports(request: http.Request) -> list[int]:
    texts = [part for value in parse_qs(request.query).get("ports", ()) for part in value.split(",")]
    return [int(text) for text in texts if text.isascii() and text.isdigit() and 0 < int(text) < 65536]
