"""The watch part of bench/api.py: many watchers of one collection while objects are created at a steady rate."""

import asyncio
import json
import time
from pathlib import Path
from typing import cast

from bench import api_load
from bench.api_load import Connection, request

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
WATCHERS, RATE, SECONDS = 100, 500, 3


class Follower(asyncio.Protocol):
    """A watch that notes when each event came; an event carries the moment of its writing."""

    def __init__(self, latencies: list[float], revision: str) -> None:
        self._latencies = latencies
        self._revision = revision
        self._rest = b""
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        path = f"{CONFIG_MAPS}?watch=true&resourceVersion={self._revision}"
        cast(asyncio.Transport, transport).write(request("GET", path))

    def data_received(self, content: bytes) -> None:
        now = time.perf_counter()
        if not self.opened.done():
            self.opened.set_result(None)
        parts = (self._rest + content).split(b'"sent":"')
        self._rest = parts[-1][-16:] if b'"' not in parts[-1][:24] else b""
        for part in parts[1:]:
            end = part.find(b'"')
            if end > 0:
                self._latencies.append(now - float(part[:end]))


async def watches(server: tuple[int, int, Path], writer: Connection) -> None:
    """Latency from the request that writes to the event at the watcher, and the server's CPU."""
    port, pid, pki = server
    revision = json.loads(await writer.ask(request("GET", f"{CONFIG_MAPS}?limit=1")))["metadata"]["resourceVersion"]
    latencies: list[float] = []
    context, loop = api_load.client_context(pki), asyncio.get_running_loop()
    followers = [
        await loop.create_connection(lambda: Follower(latencies, revision), "127.0.0.1", port, ssl=context)
        for _ in range(WATCHERS)
    ]
    await asyncio.gather(*(follower.opened for _, follower in followers))
    used, start = api_load.cpu_seconds(pid), time.perf_counter()
    for number in range(RATE * SECONDS):
        delay = start + number / RATE - time.perf_counter()
        if delay > 0:
            await asyncio.sleep(delay)
        value = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"w{number}"},
                 "data": {"sent": str(time.perf_counter())}}  # fmt: skip
        await writer.ask(request("POST", CONFIG_MAPS, json.dumps(value).encode()), 201)
    took = time.perf_counter() - start
    await asyncio.sleep(0.5)
    used = api_load.cpu_seconds(pid) - used
    for transport, _ in followers:
        transport.close()
    latencies.sort()
    middle, late = latencies[len(latencies) // 2] * 1e3, latencies[int(len(latencies) * 0.99)] * 1e3
    print(
        f"watch {WATCHERS} × {RATE * SECONDS / took:.0f} events/s: p50 {middle:.1f} ms, p99 {late:.1f} ms, server "
        f"{used / took * 100:.0f} % CPU, {len(latencies)} events   upstream p50 60 ms   {60 / middle:.0f}×"
    )
