"""One TCP probe attempt: success is an accepted connection. Messages are Go's net.Dial's, as users know them."""

import asyncio
import errno
import os
import socket

from knarr.kubelet.probes.result import Result
from knarr.kubelet.probes.target import authority

_TEXTS = {
    errno.ECONNREFUSED: "connect: connection refused",
    errno.EHOSTUNREACH: "connect: no route to host",
    errno.ENETUNREACH: "connect: network is unreachable",
    errno.ECONNRESET: "connect: connection reset by peer",
}


async def attempt(host: str, port: int, timeout_seconds: float) -> Result:
    """Connect and close."""
    try:
        async with asyncio.timeout(timeout_seconds):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return Result(False, f"dial tcp {authority(host, port)}: i/o timeout")
    except (OSError, UnicodeError) as error:
        return Result(False, dial_error(host, port, error))
    writer.close()
    return Result(True)


def dial_error(host: str, port: int, error: OSError | UnicodeError) -> str:
    """`dial tcp HOST:PORT: …` for what went wrong."""
    if isinstance(error, socket.gaierror | UnicodeError):  # no such name, or none that could be one
        return f"dial tcp: lookup {host}: no such host"
    text = _TEXTS.get(error.errno or 0)
    if text is None:
        text = f"connect: {os.strerror(error.errno).lower()}" if error.errno and error.errno > 0 else str(error)
    return f"dial tcp {authority(host, port)}: {text}"
