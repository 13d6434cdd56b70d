"""Histories of many clients with kill -9 in between: every key linearizable, every watch without gap or repeat.

A resourceVersion names one write, so a history is linearizable when reads never go back behind what was acknowledged
before they began, never show what nobody wrote, and revisions are given once.
"""

import asyncio
import contextlib
import random
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from knarr.assembly import pki
from knarr.base.clock import SystemClock
from knarr.base.errors import Conflict, KnarrError, NotFound
from knarr.base.ids import Revision
from knarr.client.http import HttpTransport
from knarr.client.requests import ApiClient
from knarr.kinds.core_config import CONFIGMAP
from knarr.wire import tls
from knarr.wire.http_client import Target
from tests.conformance.control_plane import settings_of

KEYS = ("a", "b", "c")
ROUNDS = 4


@dataclass
class History:
    """What the clients saw. Times are monotonic seconds; `acknowledged` is (when, key, revision, value)."""

    acknowledged: list[tuple[float, str, int, str]] = field(default_factory=list)
    attempted: set[str] = field(default_factory=set)
    reads: list[tuple[float, str, int, str]] = field(default_factory=list)
    watched: list[list[tuple[str, str, int, str]]] = field(default_factory=list)


class Cluster:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process: asyncio.subprocess.Process | None = None
        made = pki.ensure(settings_of(directory, self.port), SystemClock().now())
        context = tls.client_context(authority=made / "ca.crt", certificate=made / "admin.crt", key=made / "admin.key")
        self.target = Target("127.0.0.1", self.port, context)

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.conformance.control_plane", str(self.directory), str(self.port),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert self.process.stdout is not None
        assert await asyncio.wait_for(self.process.stdout.readline(), 20) == b"ready\n"

    async def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    @contextlib.asynccontextmanager
    async def client(self) -> AsyncIterator[ApiClient]:
        transport = HttpTransport(self.target)
        try:
            yield ApiClient(transport, "checker")
        finally:
            await transport.close()


async def again_and_again(act: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
    """Act until told to stop; a server that is away is asked again after a moment."""
    while not stop.is_set():
        try:
            await act()
        except (KnarrError, OSError, EOFError):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.02)


async def write(cluster: Cluster, history: History, stop: asyncio.Event, name: str) -> None:
    choice, number = random.Random(name), 0
    async with cluster.client() as client:

        async def act() -> None:
            nonlocal number
            key = choice.choice(KEYS)
            number += 1
            value = f"{name}.{number}"
            history.attempted.add(value)
            made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": key}, "data": {"v": value}}
            try:
                live = await client.get(CONFIGMAP, "default", key)
                version = live["metadata"]["resourceVersion"]
                made["metadata"] = {"name": key, "resourceVersion": version}
                answer = await client.update(CONFIGMAP, "default", key, made)
            except NotFound:
                answer = await client.create(CONFIGMAP, "default", made)
            except Conflict:
                return
            revision = int(answer["metadata"]["resourceVersion"])
            history.acknowledged.append((time.monotonic(), key, revision, value))

        await again_and_again(act, stop)


async def read(cluster: Cluster, history: History, stop: asyncio.Event) -> None:
    async with cluster.client() as client:

        async def act() -> None:
            key, began = random.choice(KEYS), time.monotonic()
            live = await client.get(CONFIGMAP, "default", key)
            history.reads.append((began, key, int(live["metadata"]["resourceVersion"]), live["data"]["v"]))

        await again_and_again(act, stop)


async def follow(cluster: Cluster, history: History, start: Revision) -> None:
    seen: list[tuple[str, str, int, str]] = []
    history.watched.append(seen)
    never = asyncio.Event()
    async with cluster.client() as client:

        async def act() -> None:
            since = Revision(seen[-1][2]) if seen else start
            async for event in client.watch(CONFIGMAP, "default", since=since):
                obj = decoded(event.object)
                if event.type != "BOOKMARK":
                    metadata = obj["metadata"]
                    seen.append((event.type, metadata["name"], int(metadata["resourceVersion"]), obj["data"]["v"]))

        await again_and_again(act, never)


def decoded(content: bytes) -> Any:
    import msgspec

    return msgspec.json.decode(content)


@pytest.mark.timeout(120)
async def test_histories_are_linearizable_and_watches_complete_over_kill_9(tmp_path: Path) -> None:
    cluster, history, stop = Cluster(tmp_path), History(), asyncio.Event()
    await cluster.start()
    async with cluster.client() as client:
        start = (await client.list(CONFIGMAP, "default")).revision
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(write(cluster, history, stop, f"w{n}")) for n in range(6)]
        tasks += [group.create_task(read(cluster, history, stop)) for _ in range(3)]
        followers = [group.create_task(follow(cluster, history, start)) for _ in range(3)]
        for _ in range(ROUNDS):
            wanted = len(history.acknowledged) + 60
            while len(history.acknowledged) < wanted:
                await asyncio.sleep(0.01)
            await cluster.kill()
            await cluster.start()
        stop.set()
        await asyncio.wait(tasks)
        async with cluster.client() as client:
            last = max(
                int(decoded(item)["metadata"]["resourceVersion"]) for item in (await client.list(CONFIGMAP)).items
            )
        async with asyncio.timeout(20):
            while any(not seen or seen[-1][2] < last for seen in history.watched):
                await asyncio.sleep(0.01)
        for follower in followers:
            follower.cancel()
    await cluster.kill()
    check(history)


def check(history: History) -> None:
    written = {revision: (key, value) for _, key, revision, value in history.acknowledged}
    assert len(written) == len(history.acknowledged), "a revision was given twice"
    first, *others = history.watched
    for other in others:
        assert other == first, "two watches saw different histories"
    revisions = [revision for _, _, revision, _ in first]
    assert revisions == sorted(set(revisions)), "a watch repeated or reordered"
    seen = {revision: (key, value) for _, key, revision, value in first}
    missing = {revision: written[revision] for revision in written.keys() - seen.keys()}
    assert missing == {}, "an acknowledged write never came by the watch"
    assert {value for _, value in seen.values()} <= history.attempted, "a watch showed what nobody wrote"
    for began, key, revision, value in history.reads:
        assert seen[revision] == (key, value), "a read showed another value than the one of its revision"
        newest = max((r for when, k, r, _ in history.acknowledged if k == key and when < began), default=0)
        assert revision >= newest, "a read went back behind an acknowledged write"
