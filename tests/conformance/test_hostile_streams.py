"""Hostile clients of exec and port-forward: what is broken ends, others are served, nothing is left behind."""

import contextlib
import random
import socket
import struct
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from knarr.wire import spdy
from tests.conformance import hostile
from tests.conformance.hostile import Process, answer, status

pytestmark = pytest.mark.timeout(240)
POD = "/api/v1/namespaces/default/pods/web"
EXEC = f"{POD}/exec?container=c&command=cat&stdin=true&stdout=true&stderr=true"
PORT = f"{POD}/portforward?ports=1"
MIB = 1 << 20
BINARY, CLOSE, PING = 0x82, 0x88, 0x89


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with hostile.running("streams", tmp_path_factory.mktemp("streams")) as process:
        yield process


def upgrade(process: Process, target: str, protocol: str = "v5.channel.k8s.io") -> socket.socket:
    """An accepted WebSocket."""
    connection = process.dial("plain")
    head = (
        f"GET {target} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        f"Sec-WebSocket-Protocol: {protocol}\r\n\r\n"
    )
    connection.sendall(head.encode())
    assert head_of(connection).startswith(b"HTTP/1.1 101 ")
    return connection


def spdy_upgrade(process: Process, target: str) -> socket.socket:
    connection = process.dial("plain")
    head = (
        f"POST {target} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
        "X-Stream-Protocol-Version: v4.channel.k8s.io\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n"
        "Content-Length: 0\r\n\r\n"
    )
    connection.sendall(head.encode())
    assert head_of(connection).startswith(b"HTTP/1.1 101 ")
    return connection


def head_of(connection: socket.socket) -> bytes:
    found = b""
    while not found.endswith(b"\r\n\r\n"):
        piece = connection.recv(1)
        if not piece:
            break
        found += piece
    return found


def frame(first: int, content: bytes, *, is_masked: bool = True) -> bytes:
    mask = b"\x01\x02\x03\x04"
    high = 0x80 if is_masked else 0
    size = bytes([high | len(content)]) if len(content) < 126 else bytes([high | 127]) + struct.pack(">Q", len(content))
    masked = bytes(byte ^ mask[at & 3] for at, byte in enumerate(content)) if is_masked else content
    return bytes([first]) + size + (mask if is_masked else b"") + masked


def control(kind: int, content: bytes, flags: int = 0) -> bytes:
    return struct.pack(">HHB", 0x8003, kind, flags) + len(content).to_bytes(3, "big") + content


def syn_stream(number: int, block: bytes) -> bytes:
    return control(spdy.SYN_STREAM, struct.pack(">II", number, 0) + b"\0\0" + block)


def headers(packer: "zlib._Compress", fields: dict[str, str]) -> bytes:
    block = len(fields).to_bytes(4, "big")
    for name, value in fields.items():
        block += len(name).to_bytes(4, "big") + name.encode() + len(value).to_bytes(4, "big") + value.encode()
    return packer.compress(block) + packer.flush(zlib.Z_SYNC_FLUSH)


def streams(count: int, fields: dict[str, str]) -> bytes:
    packer = zlib.compressobj(zdict=spdy.DICTIONARY)
    return b"".join(syn_stream(2 * number + 1, headers(packer, fields)) for number in range(count))


def bomb() -> bytes:
    packer = zlib.compressobj(zdict=spdy.DICTIONARY)
    zeros = packer.compress(b"\0" * (64 * MIB)) + packer.flush(zlib.Z_SYNC_FLUSH)
    return syn_stream(1, zeros)


def drained(connection: socket.socket, content: bytes = b"") -> str:
    """Send, end, and read until the server closes; "" once it did, else why not."""
    with connection:
        with contextlib.suppress(ConnectionError):  # closed already, which is what is asked for
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
        try:
            while connection.recv(1 << 20):
                pass
        except ConnectionError:
            pass
        except TimeoutError:
            return "the server did not close"
    return ""


def all_drained(opened: dict[str, tuple[socket.socket, bytes]]) -> dict[str, str]:
    """What is wrong with whom; the server takes seconds over each farewell, so all happen at once."""
    with ThreadPoolExecutor(64) as pool:
        found = {name: pool.submit(drained, *each) for name, each in opened.items()}
    return {name: each.result() for name, each in found.items() if each.result()}


BROKEN: dict[str, bytes] = {
    "an unmasked message": frame(BINARY, b"\0abc", is_masked=False),
    "a message of 2^62 bytes": bytes([BINARY, 0xFF]) + struct.pack(">Q", 1 << 62) + b"\0\0\0\0",
    "a message of 2 MiB": frame(BINARY, b"\0" * (2 * MIB)),
    "fragments of 2 MiB": frame(0x02, b"\0" * MIB) + frame(0x00, b"\0" * MIB) + frame(0x80, b"\0" * 10),
    "a continuation of nothing": frame(0x80, b"abc"),
    "a message within a message": frame(0x02, b"\0a") + frame(BINARY, b"\0b"),
    "a reserved opcode": frame(0x83, b"abc"),
    "reserved bits": frame(0xF2, b"abc"),
    "a ping of 200 bytes": frame(PING, b"x" * 200),
    "a fragmented ping": frame(0x09, b"x"),
    "a close of one byte": frame(CLOSE, b"x"),
    "a close of no known code": frame(CLOSE, b"\x03\xe7"),
    "noise": random.Random(1).randbytes(4096),
}


BROKEN_SPDY: dict[str, bytes] = {
    "a frame past the limit": struct.pack(">HHB", 0x8003, spdy.PING, 0) + b"\xff\xff\xff" + b"\0" * 4096,
    "data past the limit": struct.pack(">IB", 1, 0) + b"\xff\xff\xff" + b"\0" * 4096,
    "a header block that inflates": bomb(),
    "a header block that is no zlib": syn_stream(1, b"\xff" * 100),
    "a header block of 2^32 fields": syn_stream(1, zlib.compress(b"\xff\xff\xff\xff")),
    "an even stream": syn_stream(2, headers(zlib.compressobj(zdict=spdy.DICTIONARY), {"streamtype": "stdin"})),
    "stream 0": syn_stream(0, headers(zlib.compressobj(zdict=spdy.DICTIONARY), {"streamtype": "stdin"})),
    "one stream twice": syn_stream(1, headers(zlib.compressobj(zdict=spdy.DICTIONARY), {"streamtype": "error"})) * 2,
    "another version": struct.pack(">HHB", 0x8002, spdy.PING, 0) + b"\0\0\x04\0\0\0\1",
    "a short PING": control(spdy.PING, b"\0"),
    "data of no stream": struct.pack(">IB", 77, 0) + b"\0\0\x03abc",
    "5,000 streams": streams(5000, {"streamtype": "error"}),
    "5,000 halves of ports": streams(5000, {"streamtype": "data", "port": "1", "requestid": "x"}),
    "noise": random.Random(1).randbytes(4096),
}


def test_what_is_broken_or_half_closed_ends_and_leaves_nothing(server: Process) -> None:
    descriptors, tasks, memory = server.descriptors(), server.tasks(), server.memory()
    opened = {}
    for target, protocol in ((EXEC, "v5.channel.k8s.io"), (PORT, "v4.channel.k8s.io")):
        for name, content in {**BROKEN, **{f"half-closed {number}": b"" for number in range(25)}}.items():
            opened[f"WebSocket, {name}: {target}"] = (upgrade(server, target, protocol), content)
    for target in (EXEC, f"{POD}/portforward"):
        for name, content in {**BROKEN_SPDY, **{f"half-closed {number}": b"" for number in range(25)}}.items():
            opened[f"SPDY, {name}: {target}"] = (spdy_upgrade(server, target), content)
    assert all_drained(opened) == {}
    assert hostile.left_behind(server, descriptors, tasks) == []
    assert server.memory() - memory < 128 * MIB


def test_a_flood_of_pings_is_answered_one_for_one_and_hinders_nobody(server: Process) -> None:
    """The flooder reads nothing: what it does not take, the server must not keep."""
    descriptors, tasks, memory = server.descriptors(), server.tasks(), server.memory()
    connection = upgrade(server, EXEC)
    connection.setblocking(False)
    ping, count = frame(PING, b"x" * 125) * 1000, 0
    for _ in range(2000):
        try:
            count += connection.send(ping)
        except BlockingIOError:
            other = server.dial("plain")
            assert status(answer(other, b"GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n")) == 200
            other.close()
            break
    assert server.memory() - memory < 64 * MIB, f"after {count} bytes of pings"
    connection.close()
    assert hostile.left_behind(server, descriptors, tasks) == []


@pytest.mark.parametrize(
    "fields",
    [
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
        "Upgrade: websocket\r\nSec-WebSocket-Version: 12\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n",
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n",
        "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        "Sec-WebSocket-Protocol: v9.channel.k8s.io\r\n",
        "Upgrade: SPDY/9\r\n",
        "Upgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v9.channel.k8s.io\r\n",
        "Upgrade: \r\n",
    ],
)
def test_an_upgrade_that_cannot_be_is_a_4xx(fields: str, server: Process) -> None:
    connection = server.dial("plain")
    message = f"GET {EXEC} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n{fields}\r\n"
    assert 400 <= status(answer(connection, message.encode())) < 500
    connection.close()
