"""Port-forward: one forwarded connection joined to a port inside a pod's network namespace.

The socket is made by a thread inside the namespace, so that servers bound to the pod's loopback are reached.
"""

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Final

from knarr.base.errors import KnarrError
from knarr.network import namespaces
from knarr.wire.channels import PortStreams
from knarr.wire.connection import StreamConnection

CONNECT_SECONDS: Final = 10.0
_LOOPBACK: Final = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))


async def run_port(namespace: Path | None, streams: PortStreams) -> None:
    """Serve one connection to its end; `namespace` None is the host's."""
    try:
        connection = await connect(namespace, streams.port)
    except (OSError, KnarrError, TimeoutError) as error:
        why = (error.strerror or str(error)).lower() if isinstance(error, OSError) else str(error)
        text = f"failed to connect to localhost:{streams.port} inside the pod: dial tcp 127.0.0.1:{streams.port}: {why}"
        await streams.fail(text)
        return
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_to_pod(streams, connection), name="port-forward in")
            group.create_task(_from_pod(streams, connection), name="port-forward out")
    finally:
        connection.close()


async def connect(namespace: Path | None, port: int) -> StreamConnection:
    """A connection to the pod's loopback, IPv4 before IPv6. Raises OSError of the first attempt."""
    failure: OSError | None = None
    for family, address in _LOOPBACK:
        try:
            connecting = await _socket(namespace, family)
        except OSError as error:
            failure = failure or error
            continue
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                loop = asyncio.get_running_loop()
                await loop.sock_connect(connecting, (address, port))
                _, protocol = await loop.create_connection(StreamConnection, sock=connecting)
                return protocol
        except OSError as error:  # TimeoutError is one
            connecting.close()
            failure = failure or error
        except BaseException:
            connecting.close()
            raise
    assert failure is not None
    raise failure


async def _socket(namespace: Path | None, family: socket.AddressFamily) -> socket.socket:
    def make() -> socket.socket:
        made = socket.socket(family, socket.SOCK_STREAM)
        made.setblocking(False)
        return made

    return make() if namespace is None else await namespaces.inside(namespace, make)


async def _to_pod(streams: PortStreams, connection: StreamConnection) -> None:
    with contextlib.suppress(ConnectionError):
        while content := await streams.read():
            await connection.write(content)
        await connection.close_write()


async def _from_pod(streams: PortStreams, connection: StreamConnection) -> None:
    with contextlib.suppress(ConnectionError):
        while content := await connection.read():
            await streams.write(content)
        await streams.close_write()
