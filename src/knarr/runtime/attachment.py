"""Attach to a container's standard streams, and the control FIFO, both of conmon.

The `attach` socket is SOCK_SEQPACKET: a packet from conmon is one byte for the stream (2 stdout, 3 stderr) and the
output; a packet to conmon is standard input, and a half-close ends it. Vocabulary: *control* is conmon's FIFO `ctl`.
"""

import asyncio
import os
import socket
from pathlib import Path
from typing import Final, Literal

from knarr.base.errors import Unavailable
from knarr.runtime import conmon
from knarr.runtime.launcher import readable

PACKET_MAX: Final = 8193  # conmon's buffer and the byte for the stream
_STDERR: Final = 3


class ConmonAttachment:
    """A client of conmon's attach socket."""

    def __init__(self, connection: socket.socket, bundle: Path) -> None:
        self._connection = connection
        self._bundle = bundle

    async def read(self) -> tuple[Literal[1, 2], bytes] | None:
        while True:
            try:
                packet = self._connection.recv(PACKET_MAX)
            except BlockingIOError:
                await readable(self._connection.fileno())
                continue
            except ConnectionError:
                return None
            if not packet:
                return None
            return (2 if packet[0] == _STDERR else 1), packet[1:]

    async def write(self, content: bytes) -> None:
        loop = asyncio.get_running_loop()
        for start in range(0, len(content), PACKET_MAX - 1):
            await loop.sock_sendall(self._connection, content[start : start + PACKET_MAX - 1])

    def close_stdin(self) -> None:
        self._connection.shutdown(socket.SHUT_WR)

    def resize(self, columns: int, rows: int) -> None:
        control(self._bundle, conmon.RESIZE.format(rows=rows, columns=columns))

    def close(self) -> None:
        self._connection.close()


async def connect(bundle: Path) -> ConmonAttachment:
    """A connection to the container's conmon. Raises Unavailable when it does not listen."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    connection.setblocking(False)
    directory = os.open(bundle, os.O_PATH | os.O_CLOEXEC)
    try:
        connection.connect(f"/proc/self/fd/{directory}/attach")
    except OSError as error:
        connection.close()
        raise Unavailable(f"attach: conmon does not answer: {error.strerror}") from error
    finally:
        os.close(directory)
    return ConmonAttachment(connection, bundle)


def control(bundle: Path, line: str) -> None:
    """Write one line to conmon's control FIFO. Raises Unavailable when nobody reads it."""
    try:
        descriptor = os.open(bundle / "ctl", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Unavailable(f"conmon does not listen: {error.strerror}") from error
    try:
        os.write(descriptor, line.encode())
    except OSError as error:  # full: conmon hangs
        raise Unavailable(f"conmon does not read: {error.strerror}") from error
    finally:
        os.close(descriptor)
