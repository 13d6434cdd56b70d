"""The load for bench/api.py: keep-alive connections that send the next request when an answer is complete.

The client shares the two cores with the server, so it is a bare protocol with requests made of bytes, without a task or
a future per request. Not here: what is asked (api.py).
"""

import asyncio
import os
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from knarr.wire import tls

Produce = Callable[[], bytes | None]
"""The next request; None when nothing is left."""


def request(method: str, path: str, body: bytes = b"", media: str = "application/json") -> bytes:
    head = f"{method} {path} HTTP/1.1\r\nHost: b\r\nUser-Agent: bench\r\nContent-Type: {media}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Connection(asyncio.Protocol):
    """One keep-alive connection: `run` sends requests one after the other and counts the answers."""

    def __init__(self) -> None:
        self.count = 0
        self.answer = b""
        self._held = bytearray()
        self._needed = 0
        self._code = b""
        self._produce: Produce = lambda: None
        self._done: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def run(self, produce: Produce, code: int) -> "asyncio.Future[None]":
        """Done when `produce` gives None; every answer must have that code."""
        self._produce, self._code = produce, str(code).encode()
        self._done = asyncio.get_running_loop().create_future()
        self._next()
        return self._done

    async def ask(self, content: bytes, code: int = 200) -> bytes:
        """One request and the body of its answer."""
        await self.run(iter([content, None]).__next__, code)
        return self.answer

    def _next(self) -> None:
        content = self._produce()
        if content is not None:
            self._transport.write(content)
        elif self._done is not None:
            self._done.set_result(None)

    def data_received(self, content: bytes) -> None:
        held = self._held
        held += content
        if not self._needed:
            end = held.find(b"\r\n\r\n")
            if end < 0:
                return
            at = held.index(b"content-length: ", 0, end) + 16
            self._needed = end + 4 + int(held[at : held.index(b"\r\n", at)])
        if len(held) < self._needed:
            return
        answer, self._held, self._needed = bytes(held), bytearray(), 0
        head, _, self.answer = answer.partition(b"\r\n\r\n")
        if head[9:12] != self._code:
            self._failed(AssertionError(answer[:2000]))
            return
        self.count += 1
        self._next()

    def connection_lost(self, error: Exception | None) -> None:
        self._failed(error or ConnectionResetError("the server closed the connection"))

    def _failed(self, error: Exception) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)


@dataclass(frozen=True, slots=True)
class Result:
    """One measurement: answers per second, and the server's CPU per answer in µs."""

    rate: float
    cpu: float


def client_context(pki: Path) -> ssl.SSLContext:
    return tls.client_context(authority=pki / "ca.crt", certificate=pki / "admin.crt", key=pki / "admin.key")


async def connected(port: int, pki: Path, count: int) -> list[Connection]:
    context, loop = client_context(pki), asyncio.get_running_loop()
    return [(await loop.create_connection(Connection, "127.0.0.1", port, ssl=context))[1] for _ in range(count)]


async def measured(pid: int, connections: Sequence[Connection], produce: Sequence[Produce], code: int) -> Result:
    """Every connection runs its own requests until they end."""
    counted, used, start = sum(each.count for each in connections), cpu_seconds(pid), time.perf_counter()
    await asyncio.gather(*(each.run(one, code) for each, one in zip(connections, produce, strict=True)))
    took = time.perf_counter() - start
    count = sum(each.count for each in connections) - counted
    return Result(count / took, (cpu_seconds(pid) - used) / count * 1e6)


def until(end: float, make: Callable[[], bytes | None]) -> Produce:
    """Requests until a moment of time.perf_counter."""
    return lambda: make() if time.perf_counter() < end else None


def cpu_seconds(pid: int) -> float:
    """User and system time of the whole process, as finely as the scheduler counts it."""
    total = 0
    for schedstat in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        total += int(schedstat.read_text().split()[0])
    return total / 1e9


def rss_mb(pid: int) -> float:
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)
