"""Remote command (v4 … v1) and port-forward over a SPDY session: which stream is which.

Each stream the client opens carries `streamtype`; port-forward pairs `data` with `error` by `requestid` and names the
`port`. Upstream: k8s.io/kubelet/pkg/cri/streaming (behaviour, not code).
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from knarr.wire import channels
from knarr.wire.http import Connection
from knarr.wire.spdy_session import Session, Stream

CREATION_SECONDS: Final = 30.0
"""How long a client may take to open the streams of a command, or both halves of a forwarded connection."""
LINGER_SECONDS: Final = 5.0
PAIRS_MAX: Final = 128


class SpdyStreams(channels.Incoming):
    """channels.Streams on the streams of one session; `version` is that of the remote command protocol (1 to 4)."""

    def __init__(self, wanted: channels.Wanted, version: int) -> None:
        super().__init__()
        self.wanted = wanted
        self._version = version
        self._by_type: dict[str, Stream] = {}
        self._complete = asyncio.Event()
        needed = {"error": True, "stdin": wanted.stdin, "stdout": wanted.stdout}
        needed["stderr"] = wanted.stderr and not wanted.tty
        needed["resize"] = wanted.tty and version >= 3
        self._needed = {name for name, is_needed in needed.items() if is_needed}

    def opened(self, stream: Stream) -> None:
        """A stream of the session; one with an unknown or repeated type is ignored."""
        self._by_type.setdefault(stream.headers.get("streamtype", ""), stream)
        if self._needed <= self._by_type.keys():
            self._complete.set()

    async def all_opened(self) -> bool:
        """True once every stream that the request asked for is there; False when the client took too long."""
        try:
            async with asyncio.timeout(CREATION_SECONDS):
                await self._complete.wait()
        except TimeoutError:
            return False
        return True

    async def pump(self) -> None:
        """Move input and sizes from the streams to whoever reads them."""
        async with asyncio.TaskGroup() as group:
            if "stdin" in self._needed:
                group.create_task(self._pump_stdin(self._by_type["stdin"]), name="spdy stdin")
            if "resize" in self._needed:
                group.create_task(self._pump_resize(self._by_type["resize"]), name="spdy resize")

    async def write(self, channel: Literal[1, 2], content: bytes) -> None:
        stream = self._by_type.get("stdout" if channel == channels.STDOUT else "stderr")
        if stream is not None:
            await stream.write(content)

    async def finish(self, status: bytes) -> None:
        self.discard()
        content = status if self._version >= 4 else channels.failure_text(status).encode()
        for name in ("stdout", "stderr"):
            if name in self._by_type:
                await self._by_type[name].close_write()
        error = self._by_type["error"]
        if content:
            await error.write(content)
        for stream in self._by_type.values():
            await stream.close_write()

    async def _pump_stdin(self, stream: Stream) -> None:
        while content := await stream.read():
            await self.add_stdin(content)
        self.close_stdin()

    async def _pump_resize(self, stream: Stream) -> None:
        while content := await stream.read():
            self.add_resize(content)


async def remote_command(
    connection: Connection,
    wanted: channels.Wanted,
    version: int,
    run: Callable[[channels.Streams], Awaitable[None]],
) -> None:
    """Run one command's streams on an upgraded connection to their end."""
    streams = SpdyStreams(wanted, version)
    session = Session(connection, streams.opened)
    reading = asyncio.create_task(session.run(), name="spdy session")
    reading.add_done_callback(lambda _task: streams.end())
    pumping: asyncio.Task[None] | None = None
    try:
        if await _first(streams.all_opened(), session.gone) is True:
            pumping = asyncio.create_task(streams.pump(), name="spdy pump")
            await run(streams)
            await _farewell(session)
    finally:
        for task in (reading, pumping):
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in (reading, pumping) if task), return_exceptions=True)


class SpdyPort:
    """channels.PortStreams on a pair of streams."""

    def __init__(self, port: int, content: Stream, error: Stream) -> None:
        self.port = port
        self._content = content
        self._error = error

    async def read(self) -> bytes:
        return await self._content.read()

    async def write(self, content: bytes) -> None:
        await self._content.write(content)

    async def fail(self, message: str) -> None:
        await self._error.write(message.encode())
        await self._error.close_write()
        await self._content.reset()

    async def close_write(self) -> None:
        """Both streams: kubectl reads the errors to their end before it closes what it forwards, and a pod that has
        said all has no more of them to come."""
        await self._content.close_write()
        await self._error.close_write()

    async def close(self) -> None:
        self._content.discard()
        self._error.discard()
        await self._content.close_write()
        await self._error.close_write()


async def port_forward(connection: Connection, run: Callable[[channels.PortStreams], Awaitable[None]]) -> None:
    """Serve the forwarded connections of one session until the client leaves."""
    waiting: dict[str, Stream] = {}
    running: set[asyncio.Task[None]] = set()

    def opened(stream: Stream) -> None:
        request = stream.headers.get("requestid", "")
        other = waiting.pop(request, None)
        if other is None:
            waiting[request] = stream
            if len(waiting) > PAIRS_MAX:  # halves that never found their other half
                waiting.pop(next(iter(waiting)))
            return
        pair = {found.headers.get("streamtype", ""): found for found in (stream, other)}
        port = stream.headers.get("port", "")
        if pair.keys() == {"data", "error"} and port.isascii() and port.isdigit() and 0 < int(port) < 65536:
            task = asyncio.create_task(_run_port(run, SpdyPort(int(port), pair["data"], pair["error"])))
        else:
            task = asyncio.create_task(_refuse(stream, other))
        running.add(task)
        task.add_done_callback(running.discard)

    try:
        await Session(connection, opened).run()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _run_port(run: Callable[[channels.PortStreams], Awaitable[None]], port: SpdyPort) -> None:
    with contextlib.suppress(ConnectionError):
        try:
            await run(port)
        finally:
            await port.close()


async def _refuse(*streams: Stream) -> None:
    with contextlib.suppress(ConnectionError):
        for stream in streams:
            await stream.reset()


async def _first(wait: Awaitable[bool], gone: asyncio.Event) -> bool | None:
    """The answer of `wait`, or None when the client leaves before."""
    waiting = asyncio.ensure_future(wait)
    leaving = asyncio.ensure_future(gone.wait())
    try:
        await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return waiting.result() if waiting.done() else None
    finally:
        waiting.cancel()
        leaving.cancel()


async def _farewell(session: Session) -> None:
    """Wait for the client to close first: bytes it still sends would otherwise reset what it has not read."""
    with contextlib.suppress(ConnectionError, TimeoutError):
        await session.leave()
        async with asyncio.timeout(LINGER_SECONDS):
            await session.gone.wait()
