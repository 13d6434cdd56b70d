"""A hundred streams at once into real containers: what control and node held before, and no more, is held after.

KNARR_STREAM_SECONDS makes it a soak (the issue's: an hour); with KNARR_STREAM_HELD_SECONDS each stream stays open so
long, which loads the machine less.
"""

import asyncio
import base64
import os
import re
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from knarr.base import heap
from tests.conformance.streamers import Streamers
from tests.e2e import deaths
from tests.e2e.cluster import Cluster

SECONDS = float(os.environ.get("KNARR_STREAM_SECONDS", "5"))
HELD_SECONDS = float(os.environ.get("KNARR_STREAM_HELD_SECONDS", "0"))
pytestmark = pytest.mark.timeout(SECONDS + 600 if "KNARR_STREAM_SECONDS" in os.environ else 240)
AT_ONCE = 100
SETTLED_SECONDS = 90.0
"""Connections that are kept for the next request close after 55 s."""

FLOOD_BYTES = 256 * 1024
GROWTH_MAX_KIB = 64 * 1024
"""What both processes may take more, however many streams there were: caches, and what waits for the collector."""


def resident_kib(cluster: Cluster) -> int:
    pages = sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in deaths.pids(cluster))
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def held(cluster: Cluster) -> dict[str, int]:
    """Descriptors and threads of both processes, and the programs that the node started for streams."""
    pids = deaths.pids(cluster)
    descriptors = sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)
    threads = sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids)
    return {"descriptors": descriptors, "threads": threads, "commands": len(deaths.running("cat"))}


def tls(cluster: Cluster) -> tuple[str, ssl.SSLContext]:
    """The API's URL and the administrator's credentials."""
    config = yaml.safe_load((cluster.directory / "kubeconfig").read_text())
    server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(server["certificate-authority-data"]).decode())
    with tempfile.NamedTemporaryFile() as pem:
        pem.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
        pem.flush()
        context.load_cert_chain(pem.name)
    return server["server"], context


def test_a_command_that_does_not_read_ends_with_the_client_that_floods_it(cluster: Cluster, busybox: str) -> None:
    deaths.apply(cluster, [deaths.pod("flooded-0", busybox, ["sleep", "3600"])])
    words = [cluster.kubectl_program, "exec", "-i", "flooded-0", "--", "sleep", "3601.5"]
    try:
        cluster.ok(cluster.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "pod/flooded-0"))
        with open("/dev/zero", "rb") as zeros:
            client = subprocess.Popen(words, stdin=zeros, stderr=subprocess.DEVNULL, env=cluster.variables)
        try:
            until(lambda: bool(deaths.running("3601.5")) and has_stuck(client.pid))
        finally:
            client.kill()
            client.wait()
        until(lambda: not deaths.running("3601.5"))
    finally:
        deleted = cluster.kubectl("delete", "pod", "flooded-0")
    cluster.ok(deleted)


def has_stuck(pid: int) -> bool:
    """Whether the program has read much and now reads no more: everything on the way is full."""
    seen = [int(re.findall(r"rchar: (\d+)", Path(f"/proc/{pid}/io").read_text())[0]) for _ in pauses(2)]
    return seen[0] == seen[1] > FLOOD_BYTES


def pauses(count: int) -> Iterator[None]:
    for _ in range(count):
        yield
        time.sleep(0.5)  # an outside view has to look again


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + SETTLED_SECONDS
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.1)  # an outside view has to look again


def test_a_hundred_streams_at_once_leave_nothing(cluster: Cluster, busybox: str) -> None:
    serve = "echo line 1; echo page > /www/index.html; exec httpd -f -p 8080 -h /www"
    deaths.apply(cluster, [deaths.pod("streams-0", busybox, ["sh", "-c", serve])])
    cluster.ok(cluster.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "pod/streams-0"))
    url, context = tls(cluster)
    question = b"GET / HTTP/1.0\r\n\r\n"
    streamers = Streamers(url, "streams-0", "c", 8080, question, b"page\n", context)
    asyncio.run(streamers.run(20, 1))  # what the first use of anything makes stays
    time.sleep(1)
    before, resident = held(cluster), resident_kib(cluster)
    streamers.held_seconds = HELD_SECONDS
    asyncio.run(streamers.run(AT_ONCE, SECONDS))
    at_most = resident_kib(cluster) - resident
    end = time.monotonic() + SETTLED_SECONDS
    while any((after := held(cluster))[what] > before[what] for what in before):
        assert time.monotonic() < end, (before, after)
        time.sleep(0.5)  # an outside view has to look again
    time.sleep(min(SECONDS, heap.TRIMMED_EACH_SECONDS + 5))  # a soak waits until the heap was trimmed
    grown = resident_kib(cluster) - resident
    print(f"\n{AT_ONCE} streams at once for {SECONDS:.0f} s: {dict(streamers.done)}")
    print(f"before {before}, after {after}; {at_most} KiB more memory at their end, {grown} KiB a minute later")
    assert len(streamers.done) == 5
    assert grown < GROWTH_MAX_KIB
    cluster.ok(cluster.kubectl("delete", "pod", "streams-0"))
