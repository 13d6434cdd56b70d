"""Clients that open, use and leave streams over and over: exec, attach, port-forward, followed logs; many at once."""

import asyncio
import itertools
import random
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

SECONDS_EACH = 30.0


@dataclass(slots=True)
class Streamers:
    """`url` is the API's; `container` reads its input, `port` answers `question` with `answer`."""

    url: str
    pod: str
    container: str
    port: int
    question: bytes
    answer: bytes
    tls: ssl.SSLContext | None = None
    held_seconds: float = 0.0
    """How long each stream stays open and idle once it works."""
    done: Counter[str] = field(default_factory=Counter)

    async def run(self, at_once: int, seconds: float) -> None:
        """That many at once until the time is over; whatever a client does not get fails the whole."""
        end = asyncio.get_running_loop().time() + seconds
        kinds = (self.exec, self.exec_and_leave, self.attach_and_leave, self.forward, self.follow_and_leave)
        async with asyncio.TaskGroup() as group:
            for kind in itertools.islice(itertools.cycle(kinds), at_once):
                group.create_task(self._again_and_again(kind, end))

    async def _again_and_again(self, kind: Callable[[], Awaitable[None]], end: float) -> None:
        while asyncio.get_running_loop().time() < end:
            async with asyncio.timeout(SECONDS_EACH):
                await kind()
            self.done[getattr(kind, "__name__", "")] += 1

    async def exec(self) -> None:
        """`cat` gives back what it gets, until its input ends, and its exit code comes."""
        async with self._socket("exec", "v5", command="cat", stdin="true", stdout="true") as socket:
            await socket.send(b"\x00" + b"hello" * 1000)
            await asyncio.sleep(self.held_seconds)
            await socket.send(b"\xff\x00")
            content = {1: b"", 2: b"", 3: b""}
            async for message in socket:
                assert isinstance(message, bytes)
                content[message[0]] += message[1:]
        assert content[1] == b"hello" * 1000
        assert b"Success" in content[3]

    async def exec_and_leave(self) -> None:
        """A command that would run on; its client breaks off."""
        async with self._socket("exec", "v4", command="cat", stdin="true", stdout="true") as socket:
            await socket.send(b"\x00hello")
            while not (message := await socket.recv()) or message[1:] == b"":
                pass
            await asyncio.sleep(self.held_seconds)
            socket.transport.abort()

    async def attach_and_leave(self) -> None:
        async with self._socket("attach", "v4", stdout="true") as socket:
            await asyncio.sleep(self.held_seconds + random.random() * 0.05)  # the moment of leaving is what varies
            socket.transport.abort()

    async def forward(self) -> None:
        async with self._socket("portforward", "v4", ports=str(self.port)) as socket:
            await asyncio.sleep(self.held_seconds)
            await socket.send(b"\x00" + self.question)
            content = b""
            async for message in socket:
                assert isinstance(message, bytes)
                if message[0] == 0:
                    content += message[1:]
                if self.answer in content:
                    return

    async def follow_and_leave(self) -> None:
        parts = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=self.tls)
        try:
            path = f"{self._path('log')}?container={self.container}&follow=true"
            writer.write(f"GET {path} HTTP/1.1\r\nhost: {parts.netloc}\r\n\r\n".encode())
            content = b""
            while b"line 1" not in content:
                piece = await reader.read(65536)
                assert piece, content
                content += piece
            await asyncio.sleep(self.held_seconds)
        finally:
            writer.transport.abort()

    def _path(self, verb: str) -> str:
        return f"/api/v1/namespaces/default/pods/{self.pod}/{verb}"

    def _socket(self, verb: str, version: str, **query: str) -> connect:
        words = query if verb == "portforward" else {"container": self.container, **query}
        url = f"{self.url.replace('http', 'ws', 1)}{self._path(verb)}?{urlencode(words)}"
        protocols = [Subprotocol(f"{version}.channel.k8s.io")]
        bounds = {"max_size": None, "open_timeout": SECONDS_EACH, "ping_interval": None}
        return connect(url, ssl=self.tls, subprotocols=protocols, proxy=None, compression=None, **bounds)
