"""The client's half of remote command and port-forward over SPDY/3.1, joined with what our own client speaks.

For a CRI runtime whose streaming server knows no WebSocket v5 (containerd): the kubelet accepts the WebSocket, gets
`channels.Streams`, and this module opens the same streams towards the runtime. SPDY clients need none of this; their
upgrade is tunnelled (wire/tunnel.py). Upstream: k8s.io/client-go/tools/remotecommand, portforward (behaviour).
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable
from typing import Final, Literal

from knarr.wire import channels
from knarr.wire.http import Connection
from knarr.wire.spdy_session import ClientSession, Stream

PROTOCOL: Final = "v4.channel.k8s.io"
"""The newest remote command protocol over SPDY: the closing Status travels as JSON."""
STATUS_BYTES_MAX: Final = 64 * 1024


@contextlib.asynccontextmanager
async def reading(session: ClientSession, upstream: Connection) -> AsyncIterator[None]:
    """Read the session on its connection until the block ends; then the connection is closed."""
    task = asyncio.create_task(session.run(), name="spdy client")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        upstream.close()


async def remote_command(upstream: Connection, streams: channels.Streams) -> None:
    """Carry one command's streams to a server that speaks SPDY, to their end."""
    session = ClientSession(upstream)
    async with reading(session, upstream):
        with contextlib.suppress(ConnectionError):
            await _until(_carry(session, streams), streams.gone())


async def port_forward(session: ClientSession, streams: channels.PortStreams, request: str) -> None:
    """Carry one forwarded connection; `request` tells it from the others of the session."""
    common = {"port": str(streams.port), "requestid": request}
    error = await session.open({**common, "streamtype": "error"})
    await error.close_write()
    content = await session.open({**common, "streamtype": "data"})
    forth = asyncio.create_task(_port_forth(streams, content), name="port forth")
    try:
        while piece := await content.read():
            await streams.write(piece)
        if refusal := await _whole(error):
            await streams.fail(refusal.decode(errors="replace"))
    finally:
        forth.cancel()
        await asyncio.gather(forth, return_exceptions=True)
        content.discard()
        with contextlib.suppress(ConnectionError):
            await content.close_write()


async def _carry(session: ClientSession, streams: channels.Streams) -> None:
    """Open what was asked for, move everything, and finish with the Status that the server sent."""
    wanted = streams.wanted
    error = await session.open({"streamtype": "error"})
    moving: list[asyncio.Task[None]] = []
    outputs: list[asyncio.Task[None]] = []
    if wanted.stdin:
        stdin = await session.open({"streamtype": "stdin"})
        moving.append(asyncio.create_task(_forth(streams, stdin), name="stdin"))
    if wanted.stdout:
        stdout = await session.open({"streamtype": "stdout"})
        outputs.append(asyncio.create_task(_back(stdout, streams, 1), name="stdout"))
    if wanted.stderr and not wanted.tty:
        stderr = await session.open({"streamtype": "stderr"})
        outputs.append(asyncio.create_task(_back(stderr, streams, 2), name="stderr"))
    if wanted.tty:
        resize = await session.open({"streamtype": "resize"})
        moving.append(asyncio.create_task(_resizes(streams, resize), name="resize"))
    try:
        status = await _whole(error)
        await asyncio.gather(*outputs)
        await streams.finish(status or _BROKEN)
    finally:
        for task in (*moving, *outputs):
            task.cancel()
        await asyncio.gather(*moving, *outputs, return_exceptions=True)


_BROKEN: Final = json.dumps(
    {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "InternalError",
        "message": "the container runtime closed the connection without a status", "code": 500,
    }
).encode()  # fmt: skip


async def _forth(streams: channels.Streams, stdin: Stream) -> None:
    with contextlib.suppress(ConnectionError):  # a command may end before it has read its input
        while content := await streams.read_stdin():
            await stdin.write(content)
        await stdin.close_write()


async def _back(stream: Stream, streams: channels.Streams, channel: Literal[1, 2]) -> None:
    while content := await stream.read():
        await streams.write(channel, content)


async def _resizes(streams: channels.Streams, resize: Stream) -> None:
    with contextlib.suppress(ConnectionError):
        while (size := await streams.next_resize()) is not None:
            await resize.write(json.dumps({"Width": size[0], "Height": size[1]}).encode())


async def _port_forth(streams: channels.PortStreams, content: Stream) -> None:
    with contextlib.suppress(ConnectionError):
        while piece := await streams.read():
            await content.write(piece)
        await content.close_write()


async def _whole(stream: Stream) -> bytes:
    """All that a stream says, up to a bound."""
    said = b""
    while content := await stream.read():
        said = (said + content)[:STATUS_BYTES_MAX]
    return said


async def _until(work: Awaitable[object], end: Awaitable[object]) -> None:
    """Wait for the work; give it up when `end` comes first."""
    working, ending = asyncio.ensure_future(work), asyncio.ensure_future(end)
    try:
        await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        for task in (working, ending):
            task.cancel()
        await asyncio.gather(working, ending, return_exceptions=True)
