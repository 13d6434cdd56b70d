"""What hostile clients use: a server process and its measures, raw sockets to it, and a quiet client beside them."""

import contextlib
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from knarr.wire import tls

SECONDS = 60
"""How long a hostile client waits for an answer or the end of its connection."""


@dataclass
class Process:
    """A running hostile_server."""

    child: subprocess.Popen[str]
    port: int
    directory: Path

    def tasks(self) -> int:
        """How many asyncio tasks there are once garbage is collected."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        return int(self.child.stdout.readline())

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.child.pid}/fd"))

    def memory(self) -> int:
        """Resident bytes."""
        pages = Path(f"/proc/{self.child.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def dial(self, user: str = "admin") -> socket.socket:
        """A connection as one of the cluster's users; "" is nobody, "plain" speaks no TLS."""
        raw = socket.create_connection(("127.0.0.1", self.port), SECONDS)
        if user == "plain":
            return raw
        return self.context(user).wrap_socket(raw, server_hostname="127.0.0.1")

    def context(self, user: str) -> ssl.SSLContext:
        made = self.directory / "pki"
        if not user:
            return tls.client_context(authority=made / "ca.crt")
        return tls.client_context(authority=made / "ca.crt", certificate=made / f"{user}.crt", key=made / f"{user}.key")


@contextmanager
def running(kind: str, directory: Path) -> Iterator[Process]:
    """A hostile_server until the end of the block; it must still be there then, and have logged no traceback."""
    log = directory / "stderr"
    with log.open("w") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.conformance.hostile_server", kind, str(directory)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
    with child:
        assert child.stdout is not None
        port = child.stdout.readline()
        assert port, log.read_text()
        try:
            yield Process(child, int(port), directory)
            assert child.poll() is None, log.read_text()
        finally:
            child.kill()
    assert "Traceback" not in log.read_text(), log.read_text()


def answer(connection: socket.socket, message: bytes) -> bytes:
    """Send everything, then read until the server closes or nothing has come for a while."""
    with contextlib.suppress(OSError):  # refused while sending: the answer may be there all the same
        connection.sendall(message)
    return read(connection)


def everything(connection: socket.socket, message: bytes) -> bytes:
    """Send, then read until the server ends the connection: all of its answers; TimeoutError when it does not end."""
    found = bytearray()
    with contextlib.suppress(ConnectionError, ssl.SSLError):  # refused while sending: an answer may be there still
        connection.sendall(message)
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        while piece := connection.recv(1 << 20):
            found += piece
    return bytes(found)


def read(connection: socket.socket) -> bytes:
    """One answer with its body, or what came before the connection ended."""
    found = bytearray()
    missing: int | None = None
    try:
        while missing is None or len(found) < missing:
            piece = connection.recv(1 << 20)
            if not piece:
                break
            found += piece
            if missing is None:
                missing = _size(bytes(found[:65536]))
    except (ConnectionError, ssl.SSLError):
        pass
    return bytes(found)


def _size(found: bytes) -> int | None:
    """How long the answer is, once its head says so."""
    head, ended, _ = found.partition(b"\r\n\r\n")
    fields = [field.partition(b":") for field in head.lower().split(b"\r\n")[1:]]
    lengths = [int(value) for name, _, value in fields if name == b"content-length"]
    return len(head) + 4 + lengths[0] if ended and lengths else None


def status(found: bytes) -> int:
    """The status code; 0 when the connection was closed without an answer."""
    return int(found.split(b" ", 2)[1]) if found.startswith(b"HTTP/1.1 ") else 0


def gets_in(process: Process, message: bytes) -> bool:
    """Whether a client that dials again when it is cut off is served at last."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(ConnectionError, ssl.SSLError), process.dial() as connection:
            if status(answer(connection, message)) == 200:
                return True
    return False


def left_behind(process: Process, descriptors: int, tasks: int) -> list[str]:
    """What there is more of than there was, once there is nothing more or after a while."""
    end = time.monotonic() + SECONDS / 2
    while True:
        counts = (("descriptors", process.descriptors(), descriptors), ("tasks", process.tasks(), tasks))
        found = [f"{now} {name} instead of {before}" for name, now, before in counts if now > before]
        if not found or time.monotonic() > end:
            return found
        time.sleep(0.05)  # another process closes its sockets when it gets round to it
