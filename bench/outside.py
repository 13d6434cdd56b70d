"""An outside view of a cluster for benchmarks: the API over TLS with the kubeconfig's certificate, and /proc."""

import base64
import http.client
import json
import os
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

KNARR = (sys.executable, "-m", "knarr")


class Api:
    """One keep-alive connection, as a client-go program has."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        context = next(c["context"] for c in config["contexts"] if c["name"] == config["current-context"])
        cluster = next(c["cluster"] for c in config["clusters"] if c["name"] == context["cluster"])
        user = next(u["user"] for u in config["users"] if u["name"] == context["user"])
        self._address = urlsplit(cluster["server"])
        ca = base64.b64decode(cluster["certificate-authority-data"]).decode()
        self._tls = ssl.create_default_context(cadata=ca)
        with tempfile.NamedTemporaryFile() as pem:
            pem.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
            pem.flush()
            self._tls.load_cert_chain(pem.name)
        self._connection = self._connect()

    def _connect(self) -> http.client.HTTPSConnection:
        host, port = self._address.hostname, self._address.port
        assert host is not None
        return http.client.HTTPSConnection(host, port, context=self._tls, timeout=60)

    def call(self, method: str, path: str, body: object = None, kind: str = "application/json") -> Any:
        """The decoded answer; RuntimeError for a refusal."""
        self._connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": kind})
        response = self._connection.getresponse()
        content = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {path}: {response.status} {content[:300]!r}")
        return json.loads(content)

    def watch(self, path: str) -> Iterator[tuple[float, dict[str, Any]]]:
        """(time of arrival, event) for each event."""
        connection = self._connect()
        connection.request("GET", path)
        response = connection.getresponse()
        try:
            while line := response.readline():
                yield time.monotonic(), json.loads(line)
        finally:
            connection.close()


def knarr(*words: str) -> str:
    done = subprocess.run([*KNARR, *words], capture_output=True, text=True, check=False, timeout=180)
    if done.returncode:
        raise RuntimeError(f"knarr {' '.join(words)}: {done.stderr}")
    return done.stdout


def knarr_talk(*words: str) -> str:
    """What the command said on standard error."""
    done = subprocess.run([*KNARR, *words], capture_output=True, text=True, check=True, timeout=180)
    return done.stderr


def proportional_kib(pids: Sequence[int]) -> int:
    """PSS of the processes together, in KiB."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total


def cpu_seconds(pids: Sequence[int], *, with_children: bool = False) -> float:
    """CPU time so far; `with_children` adds that of the programs that they started and reaped."""
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += sum(int(field) for field in fields[11 : 15 if with_children else 13])
    return ticks / os.sysconf("SC_CLK_TCK")


def line(what: str, values: Sequence[float], unit: str, aim: str, peer: str) -> None:
    """One result: median (least…most), the aim, and the peer's figure."""
    low, middle, high = min(values), statistics.median(values), max(values)
    print(f"{what:<44} {middle:8.3f} {unit:<4} ({low:.3f}…{high:.3f}, n={len(values)})  aim {aim:<9} upstream {peer}")
