"""The API over TLS, durable: rates at 1, 16 and 64 connections, CPU per request, list, watch latency, memory.

Run: `.venv/bin/python -m bench.api [--seconds 1] [--runs 3] [--only get,create] [--no-pods]`. It starts a control plane
of its own (api_server.py) on a free port; the client (api_load.py) runs on the same two cores, so rates are a floor.
Every figure is the median of the runs. Upstream (kube-apiserver 1.20 + etcd) was measured once on such a machine; the
yardsticks of both runs tell how far the machines compare: see `yardsticks`.
"""

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import uvloop

from bench import api_load, api_watch
from bench.api_load import Connection, Result, request
from knarr.assembly.settings import Settings

SIZES = (1, 16, 64)
_CHANGE = {1: 416, 16: 900, 64: 1800}
UPSTREAM = {
    "get": {1: 1042, 16: 2772, 64: 3536},
    "create": {1: 575, 16: 1505, 64: 2093},
    "update": _CHANGE,
    "merge patch": _CHANGE,
    "strategic patch": _CHANGE,
    "apply": _CHANGE,
    "pod create": {1: 352, 16: 540},
    "delete": {1: 360, 16: 1048, 64: 1802},
}
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
PODS_HELD = 10_000


def configmap(name: str, number: int = 0) -> bytes:
    text = f"{number:03d}" + "v" * 497
    value = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": text}}
    return json.dumps(value).encode()


def pod(name: str) -> bytes:
    container = {
        "name": "c",
        "image": "example.com/app:1",
        "ports": [{"containerPort": 80}],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        "env": [{"name": "A", "value": "b"}],
    }
    metadata = {"name": name, "labels": {"app": "x"}}
    return json.dumps(
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container]}}
    ).encode()


class Bench:
    """One server under load; `rows` holds every run's result by (what, connections)."""

    def __init__(self, pid: int, pool: list[Connection], seconds: float) -> None:
        self.pid, self.pool, self.seconds = pid, pool, seconds
        self.rows: dict[tuple[str, int], list[Result]] = {}
        self._number = 0
        self._created: list[str] = []

    def number(self) -> int:
        self._number += 1
        return self._number

    async def rate(self, what: str, size: int, code: int, make: Callable[[str], bytes | None]) -> None:
        """`make` gets the name of an object that is the connection's own."""
        end = time.perf_counter() + self.seconds
        produce = [api_load.until(end, lambda name=f"mine{n}": make(name)) for n in range(size)]  # type: ignore[misc]
        result = await api_load.measured(self.pid, self.pool[:size], produce, code)
        self.rows.setdefault((what, size), []).append(result)

    async def prepare(self) -> None:
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
        body = json.dumps(account).encode()
        with contextlib.suppress(AssertionError):  # the controllers may have been faster
            await self.pool[0].ask(request("POST", "/api/v1/namespaces/default/serviceaccounts", body), 201)
        for name in ("fixed", *(f"mine{n}" for n in range(len(self.pool)))):
            await self.pool[0].ask(request("POST", CONFIG_MAPS, configmap(name)), 201)

    async def run(self, chosen: list[str]) -> None:
        for what in chosen:
            if what == "delete":
                await self.deletes()
                continue
            for size in SIZES:
                await self.rate(what, size, 201 if "create" in what else 200, self.maker(what))

    def maker(self, what: str) -> Callable[[str], bytes | None]:
        get = request("GET", f"{CONFIG_MAPS}/fixed")
        match what:
            case "get":
                return lambda name: get
            case "create":
                return lambda name: self._create()
            case "pod create":
                return lambda name: request("POST", PODS, pod(f"p{self.number()}"))
            case "update":
                return lambda name: request("PUT", f"{CONFIG_MAPS}/{name}", configmap(name, self.number() % 1000))
            case "merge patch" | "strategic patch":
                media = "application/merge-patch+json" if "merge" in what else "application/strategic-merge-patch+json"
                return lambda name: request(
                    "PATCH", f"{CONFIG_MAPS}/{name}", b'{"data":{"n":"%d"}}' % self.number(), media
                )
            case "apply":
                return lambda name: request(
                    "PATCH", f"{CONFIG_MAPS}/{name}?fieldManager=bench&force=true",
                    configmap(name, self.number() % 1000), "application/apply-patch+yaml",
                )  # fmt: skip
        raise ValueError(f"{what}: choose from {', '.join(UPSTREAM)}")

    def _create(self) -> bytes:
        name = f"c{self.number()}"
        self._created.append(name)
        return request("POST", CONFIG_MAPS, configmap(name))

    async def deletes(self) -> None:
        """What the creates of this run left, in shares that each take about a run's time."""
        names, self._created = self._created, []
        while len(names) < 2000:
            await self.rate("(create)", 64, 201, lambda name: self._create())
            names, self._created = names + self._created, []
        for size, share in ((1, 0.1), (16, 0.4), (64, 1.0)):
            least = round(len(names) * (1 - share))

            def next_one(least: int = least) -> bytes | None:
                return request("DELETE", f"{CONFIG_MAPS}/{names.pop()}") if len(names) > least else None

            result = await api_load.measured(self.pid, self.pool[:size], [next_one] * size, 200)
            self.rows.setdefault(("delete", size), []).append(result)

    def table(self) -> None:
        print(f"{'':16}{'conn':>5}{'per s':>9}{'µs CPU':>8}{'upstream':>10}{'ratio':>7}   every run")
        for (what, size), results in self.rows.items():
            rate = statistics.median(each.rate for each in results)
            cpu = statistics.median(each.cpu for each in results)
            peer = UPSTREAM.get(what, {}).get(size)
            beside = f"{peer:10}{rate / peer:6.1f}×" if peer else " " * 17
            every = " ".join(f"{each.rate:.0f}" for each in results)
            print(f"{what:16}{size:5}{rate:9.0f}{cpu:8.0f}{beside}   {every}")


async def fill(pool: list[Connection], count: int, make: Callable[[int], bytes]) -> None:
    """Create so many objects over all connections."""
    numbers = iter(range(count))

    def one() -> bytes | None:
        number = next(numbers, None)
        return None if number is None else make(number)

    await asyncio.gather(*(each.run(one, 201) for each in pool))


async def lists(pool: list[Connection], pid: int) -> None:
    have = len(json.loads(await pool[0].ask(request("GET", CONFIG_MAPS)))["items"])
    await fill(pool, max(0, 10_000 - have), lambda n: request("POST", CONFIG_MAPS, configmap(f"l{n}")))
    for query, peer in (("", 168), ("?resourceVersion=0", 112)):
        times = []
        for _ in range(9):
            start = time.perf_counter()
            await pool[0].ask(request("GET", CONFIG_MAPS + query))
            times.append((time.perf_counter() - start) * 1e3)
        middle = statistics.median(times)
        print(f"list 10,000{query:20}{middle:7.1f} ms   upstream {peer} ms   {peer / middle:.1f}×")
    print(f"RSS with 10,000 ConfigMaps {api_load.rss_mb(pid):.0f} MB")


@contextlib.contextmanager
def server(*words: str) -> Iterator[tuple[int, int, Path]]:
    """(port, pid, its keys) of a control plane that ends with the block."""
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "bench.api_server", directory, *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        try:
            port = int(process.stdout.readline())
            yield port, process.pid, Settings(name="bench", data_dir=Path(directory), run_dir=Path(directory)).pki_dir
        finally:
            process.terminate()
            process.wait(20)


async def api(arguments: argparse.Namespace, port: int, pid: int, pki: Path) -> None:
    print(f"RSS fresh {api_load.rss_mb(pid):.0f} MB   upstream 357 MB, aim ≤ 80 MB")
    pool = await api_load.connected(port, pki, SIZES[-1])
    bench = Bench(pid, pool, arguments.seconds)
    await bench.prepare()
    chosen = arguments.only.split(",") if arguments.only else list(UPSTREAM)
    for _ in range(arguments.runs):
        await bench.run(chosen)
    bench.table()
    if not arguments.only:
        await lists(pool, pid)
        await api_watch.watches((port, pid, pki), pool[0])


async def pods(port: int, pid: int, pki: Path) -> None:
    """Memory with 10,000 pods while controllers and scheduler hold their own views of them."""
    pool = await api_load.connected(port, pki, 16)
    await Bench(pid, pool, 0).prepare()
    fresh = api_load.rss_mb(pid)
    await fill(pool, PODS_HELD, lambda n: request("POST", PODS, pod(f"p{n}")))
    await asyncio.sleep(2)  # the controllers' share of the work ends
    print(f"RSS with controllers {fresh:.0f} MB, with {PODS_HELD:,} pods {api_load.rss_mb(pid):.0f} MB   aim ≤ 200 MB")


def yardsticks() -> str:
    """What of the machine decides these figures: fdatasync of an appended page, and sha256 as plain computing."""
    with tempfile.TemporaryFile() as file:
        times = []
        for _ in range(300):
            os.write(file.fileno(), b"x" * 4096)
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - start) * 1e6)
    content = b"x" * (32 << 20)
    start = time.perf_counter()
    hashlib.sha256(content).digest()
    speed = 32 / (time.perf_counter() - start) * 1.048576
    sync = statistics.median(times)
    return f"yardsticks: fdatasync {sync:.0f} µs (upstream 120-200), sha256 {speed:.0f} MB/s (1,150)"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="", help=f"some of: {','.join(UPSTREAM)}")
    parser.add_argument("--no-pods", action="store_true")
    arguments = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(yardsticks())
        with server() as (port, pid, pki):
            runner.run(api(arguments, port, pid, pki))
        if not arguments.only and not arguments.no_pods:
            with server("parts") as (port, pid, pki):
                runner.run(pods(port, pid, pki))
        print(yardsticks())


if __name__ == "__main__":
    main()
