"""What probes cost and whether they are on time: 200 HTTP and TCP probes/s, then 20 command probes/s, on one node.

The probes' targets are this program's own: it notes when each attempt arrives, so lateness is seen from outside. Late
by is the distance from the attempt's place on its own grid (period 1 s), the earliest attempt of the series being on
time. CPU is that of both knarr processes and of every program they started and reaped. Needs root.
"""

import asyncio
import os
import statistics
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import outside
import stage as stages
from stage import PODS, Stage, is_ready

NAME, PORT, NETWORK = "benchprobes", 26710, "10.247.128.0/17"
HTTP_PORT, FIRST_TCP_PORT = 26720, 26721
PODS_EACH, CONTAINERS = 5, 10
SECONDS = 20.0
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok"


class Targets:
    """An HTTP server and one TCP port per probe, in a thread: arrivals by key."""

    def __init__(self) -> None:
        self.arrivals: dict[str, list[float]] = defaultdict(list)
        self._ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()
        self._ready.wait()

    async def _serve(self) -> None:
        await asyncio.start_server(self._http, "127.0.0.1", HTTP_PORT, backlog=1024)
        for number in range(2 * PODS_EACH * CONTAINERS):
            await asyncio.start_server(self._tcp, "127.0.0.1", FIRST_TCP_PORT + number, backlog=64)
        self._ready.set()
        await asyncio.Event().wait()

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived = time.monotonic()
        head = await reader.readuntil(b"\r\n\r\n")
        self.arrivals[head.split(b" ", 2)[1].decode()].append(arrived)
        writer.write(ANSWER)
        writer.close()

    async def _tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.arrivals[f"tcp/{writer.get_extra_info('sockname')[1]}"].append(time.monotonic())
        writer.close()


def late_by(arrivals: list[float]) -> list[float]:
    """How far behind its grid of one second each arrival was."""
    placed = [arrived - round(arrived - arrivals[0]) for arrived in arrivals]
    on_time = min(placed)
    return [each - on_time for each in placed]


def network_pods(stage: Stage) -> list[str]:
    names = []
    for number in range(2 * PODS_EACH):
        is_http, containers = number < PODS_EACH, []
        for index in range(CONTAINERS):
            serial = (number % PODS_EACH) * CONTAINERS + index
            probes: dict[str, Any] = {}
            for offset, kind in enumerate(("livenessProbe", "readinessProbe")):
                get = {"httpGet": {"host": "127.0.0.1", "port": HTTP_PORT, "path": f"/{serial}/{kind}"}}
                connect = {"tcpSocket": {"host": "127.0.0.1", "port": FIRST_TCP_PORT + 2 * serial + offset}}
                probes[kind] = {**(get if is_http else connect), "periodSeconds": 1}
            containers.append({"name": f"c{index}", "image": stage.image, "command": ["sleep", "3600"], **probes})
        names.append(f"net-{number}")
        make(stage, names[-1], containers, [])
    return names


def command_pods(stage: Stage, directory: Path) -> list[str]:
    volumes = [{"name": "times", "hostPath": {"path": str(directory)}}]
    names = []
    for number in range(2):
        containers = []
        for index in range(CONTAINERS):
            command = ["sh", "-c", f"echo {number}.{index} > /times/fifo"]
            probe = {"exec": {"command": command}, "periodSeconds": 1, "timeoutSeconds": 5}
            mounts = [{"name": "times", "mountPath": "/times"}]
            body = {"name": f"c{index}", "image": stage.image, "command": ["sleep", "3600"], "livenessProbe": probe}
            containers.append({**body, "volumeMounts": mounts})
        names.append(f"cmd-{number}")
        make(stage, names[-1], containers, volumes)
    return names


def make(stage: Stage, name: str, containers: list[Any], volumes: list[Any]) -> None:
    spec = {"terminationGracePeriodSeconds": 0, "containers": containers, "volumes": volumes}
    stage.api.call("POST", PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})


def read_fifo(path: Path, arrivals: dict[str, list[float]]) -> None:
    with path.open("r+b", buffering=0) as fifo:
        while piece := fifo.read(4096):
            arrived = time.monotonic()
            for key in piece.decode().split():
                arrivals[key].append(arrived)


def measured(stage: Stage, arrivals: dict[str, list[float]], what: str, rate: int) -> None:
    """CPU and lateness over SECONDS, the pods being Ready."""
    time.sleep(3)
    arrivals.clear()
    pids = stage.pids()
    began, before = time.monotonic(), outside.cpu_seconds(pids, with_children=True)
    time.sleep(SECONDS)
    seconds = time.monotonic() - began
    used = 100 * (outside.cpu_seconds(pids, with_children=True) - before) / seconds
    late = sorted(value for times in list(arrivals.values()) for value in late_by(list(times)))
    assert 0.95 < len(late) / (rate * seconds) < 1.05, f"{len(late)} attempts in {seconds:.1f} s"
    outside.line(f"{what}: CPU of one core", [used], "%", "≤ 25", "–")
    outside.line(f"{what}: late by, median", [statistics.median(late)], "s", "–", "–")
    outside.line(f"{what}: late by, 99th percentile", [late[int(len(late) * 0.99)]], "s", "≤ 0.200", "–")


def main() -> None:
    targets = Targets()
    with stages.opened(NAME, PORT, NETWORK) as stage:
        names = network_pods(stage)
        stage.pods.when(lambda now: all(name in now and is_ready(now[name]) for name in names))
        measured(stage, targets.arrivals, "200 HTTP and TCP probes/s", 200)
        stage.delete(*names)
        fifo = stage.directory / "fifo"
        os.mkfifo(fifo)
        os.chmod(fifo, 0o666)
        arrivals: dict[str, list[float]] = defaultdict(list)
        threading.Thread(target=read_fifo, args=(fifo, arrivals), daemon=True).start()
        names = command_pods(stage, stage.directory)
        stage.pods.when(lambda now: all(name in now and is_ready(now[name]) for name in names))
        measured(stage, arrivals, "20 command probes/s", 20)


if __name__ == "__main__":
    main()
