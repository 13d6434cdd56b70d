"""The API over TLS, durable: rates at 1, 16 and 64 connections, CPU per request, list, watch latency, memory.

Run: `.venv/bin/python -m bench.api [--seconds 2]`. It starts a control plane of its own on a free port, without
controllers, in a process of its own; the client is a raw keep-alive client on the same two cores, so rates are a floor.
Peer figures (kube-apiserver 1.20 + etcd on such a machine) stand beside ours; see the README for the comparison.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from knarr.assembly.settings import Settings
from knarr.wire import tls

PEER = {
    "create": {1: 575, 16: 1505, 64: 2093},
    "pod create": {1: 352, 16: 540},
    "get": {1: 1042, 16: 2772, 64: 3536},
    "update": {1: 416, 16: 900, 64: 1800},
    "patch": {1: 416, 16: 900, 64: 1800},
    "delete": {1: 360, 16: 1048, 64: 1802},
}
COLLECTION = "/api/v1/namespaces/default/configmaps"
SERVER = """
import asyncio, gc, sys, signal
from pathlib import Path
import uvloop
from knarr.assembly import control, pki
from knarr.assembly.settings import Settings
from knarr.base.clock import SystemClock
from knarr.wire import tls
from knarr.wire.http_server import Server

async def main():
    directory, port = Path(sys.argv[1]), int(sys.argv[2])
    settings = Settings(name="bench", data_dir=directory, run_dir=directory / "run", port=port, node_name="bench")
    made = pki.ensure(settings, SystemClock().now())
    task = asyncio.current_task()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    profile = None
    if len(sys.argv) > 3:
        import cProfile
        profile = cProfile.Profile()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGUSR1, profile.enable)
        loop.add_signal_handler(signal.SIGUSR2, lambda: (profile.disable(), profile.dump_stats(sys.argv[3])))
    async with control.opened(settings, made, SystemClock()) as running:
        server = Server(running.pipeline.handle)
        context = tls.server_context(made / "apiserver.crt", made / "apiserver.key", client_authority=made / "ca.crt")
        bound = await server.listen_tcp("127.0.0.1", port, tls=context)
        gc.collect(); gc.freeze(); gc.set_threshold(50_000, 20, 50)
        print(bound, flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            await server.close(0)

with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    try:
        runner.run(main())
    except (asyncio.CancelledError, KeyboardInterrupt):
        pass
"""


Answer = tuple[int, bytes]


class Connection:
    """One keep-alive connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(
        self, method: str, path: str, body: bytes = b"", media: str = "application/json"
    ) -> tuple[int, bytes]:
        head = f"{method} {path} HTTP/1.1\r\nHost: b\r\nUser-Agent: bench\r\nContent-Type: {media}\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)
        answer = await self.reader.readuntil(b"\r\n\r\n")
        lower = answer.lower()
        length = int(lower.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        return int(answer[9:12]), await self.reader.readexactly(length)


async def connect(port: int, pki: Path) -> Connection:
    context = tls.client_context(authority=pki / "ca.crt", certificate=pki / "admin.crt", key=pki / "admin.key")
    return Connection(*await asyncio.open_connection("127.0.0.1", port, ssl=context, limit=1 << 26))


def configmap(name: str) -> bytes:
    value = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": "v" * 500}}
    return json.dumps(value).encode()


def pod(name: str) -> bytes:
    container = {
        "name": "c",
        "image": "example.com/app:1",
        "ports": [{"containerPort": 80}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        "env": [{"name": "A", "value": "b"}],
    }
    spec = {"containers": [container]}
    value = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": "x"}}, "spec": spec}
    return json.dumps(value).encode()


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


Act = Callable[[Connection, int], Awaitable[None]]


class Done(Exception):
    """Nothing is left to act on."""


class Bench:
    def __init__(self, pid: int, seconds: float) -> None:
        self.pid, self.seconds, self.number = pid, seconds, 0

    async def rate(self, name: str, connections: list[Connection], act: Act) -> None:
        count, end = 0, time.perf_counter() + self.seconds

        async def work(connection: Connection) -> None:
            nonlocal count
            while time.perf_counter() < end:
                self.number += 1
                try:
                    await act(connection, self.number)
                except Done:
                    return
                count += 1

        before, start = cpu_seconds(self.pid), time.perf_counter()
        await asyncio.gather(*(work(connection) for connection in connections))
        took, used = time.perf_counter() - start, cpu_seconds(self.pid) - before
        peer = PEER.get(name, {}).get(len(connections))
        beside = f"   upstream {peer}/s  x{count / took / peer:.1f}" if peer else ""
        print(
            f"{name:12} {len(connections):3} conn {count / took:8.0f}/s {used / count * 1e6:7.0f} µs CPU{beside}",
            flush=True,
        )


async def expect(connection: Connection, code: int, *request: object) -> bytes:
    status, body = await connection.ask(*request)  # type: ignore[arg-type]  # the arguments of ask, passed on
    assert status == code, body
    return body


async def measure(port: int, pid: int, pki: Path, seconds: float) -> None:
    pool = [await connect(port, pki) for _ in range(64)]
    bench = Bench(pid, seconds)
    print(f"RSS fresh {rss_mb(pid):.0f} MB")
    account = json.dumps({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}).encode()
    await expect(pool[0], 201, "POST", "/api/v1/namespaces/default/serviceaccounts", account)
    for name in ("fixed", *(f"mine{n}" for n in range(64))):
        await expect(pool[0], 201, "POST", COLLECTION, configmap(name))
    mine = {id(connection): f"mine{n}" for n, connection in enumerate(pool)}

    async def get(connection: Connection, number: int) -> None:
        await expect(connection, 200, "GET", f"{COLLECTION}/fixed")

    async def create(connection: Connection, number: int) -> None:
        await expect(connection, 201, "POST", COLLECTION, configmap(f"c{number}"))

    async def update(connection: Connection, number: int) -> None:
        name = mine[id(connection)]
        body = configmap(name).replace(b"vvv", str(number % 1000).zfill(3).encode(), 1)
        await expect(connection, 200, "PUT", f"{COLLECTION}/{name}", body)

    async def patch(connection: Connection, number: int) -> None:
        body = json.dumps({"data": {"n": str(number)}}).encode()
        await expect(
            connection, 200, "PATCH", f"{COLLECTION}/{mine[id(connection)]}", body, "application/merge-patch+json"
        )

    async def apply(connection: Connection, number: int) -> None:
        name = mine[id(connection)]
        body = configmap(name).replace(b"vvv", str(number % 1000).zfill(3).encode(), 1)
        path = f"{COLLECTION}/{name}?fieldManager=bench&force=true"
        await expect(connection, 200, "PATCH", path, body, "application/apply-patch+yaml")

    async def create_pod(connection: Connection, number: int) -> None:
        await expect(connection, 201, "POST", "/api/v1/namespaces/default/pods", pod(f"p{number}"))

    for name, act in (
        ("get", get),
        ("create", create),
        ("update", update),
        ("patch", patch),
        ("pod create", create_pod),
    ):
        for size in (1, 16, 64):
            await bench.rate(name, pool[:size], act)
    await delete_all(bench, pool)
    await lists(pool, pid)
    await watches(port, pki, pool[0], pid)
    print(f"RSS at the end {rss_mb(pid):.0f} MB")


async def delete_all(bench: Bench, pool: list[Connection]) -> None:
    body = json.loads(await expect(pool[0], 200, "GET", COLLECTION))
    names = [item["metadata"]["name"] for item in body["items"] if item["metadata"]["name"].startswith("c")]
    for size, share in ((1, 0.1), (16, 0.4), (64, 1.0)):
        stop_at = round(len(names) * (1 - share))

        async def delete(connection: Connection, number: int, least: int = stop_at) -> None:
            if len(names) <= least:
                raise Done
            await expect(connection, 200, "DELETE", f"{COLLECTION}/{names.pop()}")

        bench.seconds = 60.0
        await bench.rate("delete", pool[:size], delete)


async def lists(pool: list[Connection], pid: int) -> None:
    have = len(json.loads(await expect(pool[0], 200, "GET", COLLECTION))["items"])
    numbers = iter(range(have, 10_000))

    async def fill(connection: Connection) -> None:
        for number in numbers:
            await expect(connection, 201, "POST", COLLECTION, configmap(f"l{number}"))

    await asyncio.gather(*(fill(connection) for connection in pool))
    for query in ("", "?resourceVersion=0"):
        times = []
        for _ in range(7):
            start = time.perf_counter()
            await expect(pool[0], 200, "GET", COLLECTION + query)
            times.append(time.perf_counter() - start)
        peer = "112 ms" if query else "168 ms"
        print(f"list 10,000{query:20} {statistics.median(times) * 1e3:6.1f} ms   upstream {peer}")
    print(f"RSS with 10,000 ConfigMaps {rss_mb(pid):.0f} MB")


async def watches(port: int, pki: Path, writer: Connection, pid: int, watchers: int = 100, rate: int = 500) -> None:
    latencies: list[float] = []
    opened = [await connect(port, pki) for _ in range(watchers)]
    revision = json.loads(await expect(writer, 200, "GET", f"{COLLECTION}?limit=1"))["metadata"]["resourceVersion"]

    async def follow(connection: Connection) -> None:
        path = f"{COLLECTION}?watch=true&resourceVersion={revision}"
        connection.writer.write(f"GET {path} HTTP/1.1\r\nHost: b\r\n\r\n".encode())
        await connection.reader.readuntil(b"\r\n\r\n")
        while True:
            size = int(await connection.reader.readline(), 16)
            chunk = await connection.reader.readexactly(size + 2)
            now = time.perf_counter()
            for part in chunk.split(b'"sent":"')[1:]:
                latencies.append(now - float(part[: part.index(b'"')]))

    tasks = [asyncio.create_task(follow(connection)) for connection in opened]
    await asyncio.sleep(0.5)
    before, start = cpu_seconds(pid), time.perf_counter()
    for number in range(rate * 3):
        delay = start + number / rate - time.perf_counter()
        if delay > 0:
            await asyncio.sleep(delay)
        value = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"w{number}"},
                 "data": {"sent": str(time.perf_counter())}}  # fmt: skip
        await expect(writer, 201, "POST", COLLECTION, json.dumps(value).encode())
    took = time.perf_counter() - start
    await asyncio.sleep(0.5)
    used = cpu_seconds(pid) - before
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    latencies.sort()
    middle, late = latencies[len(latencies) // 2], latencies[int(len(latencies) * 0.99)]
    print(f"watch {watchers} × {rate * 3 / took:.0f} events/s: p50 {middle * 1e3:.1f} ms p99 {late * 1e3:.1f} ms, "
          f"{used / took * 100:.0f} % CPU, {len(latencies)} events   upstream p50 60 ms")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--profile", default="")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-c", SERVER, directory, str(arguments.port)]
        server = subprocess.Popen(
            [*command, *([arguments.profile] if arguments.profile else [])], stdout=subprocess.PIPE
        )
        assert server.stdout is not None
        try:
            port = int(server.stdout.readline())
            settings = Settings(name="bench", data_dir=Path(directory), run_dir=Path(directory))
            if arguments.profile:
                server.send_signal(signal.SIGUSR1)
            asyncio.run(measure(port, server.pid, settings.pki_dir, arguments.seconds))
            if arguments.profile:
                server.send_signal(signal.SIGUSR2)
                time.sleep(0.5)
        finally:
            server.terminate()
            server.wait(10)


if __name__ == "__main__":
    main()
