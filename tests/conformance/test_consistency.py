"""Many clients write, delete, read and watch while the server is killed: their history must pass histories.check.

KNARR_ROUNDS sets how many kills a run has.
"""

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from knarr.assembly import pki
from knarr.base.clock import SystemClock
from knarr.base.errors import Conflict, KnarrError, NotFound
from knarr.base.ids import Revision
from knarr.client.client import DeleteOptions
from knarr.client.http import HttpTransport
from knarr.client.requests import ApiClient
from knarr.kinds.core_config import CONFIGMAP
from knarr.wire import tls
from knarr.wire.http_client import Target
from tests.conformance.control_plane import settings_of
from tests.conformance.histories import Event, History, Seen, check

KEYS = ("a", "b", "c")
ROUNDS = int(os.environ.get("KNARR_ROUNDS", "4"))
DELETIONS = 0.15
"""The share of writes that delete."""


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


def made(key: str, value: str, version: str = "") -> dict[str, Any]:
    metadata = {"name": key, "resourceVersion": version} if version else {"name": key}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"v": value}}


async def write(cluster: Cluster, history: History, stop: asyncio.Event, name: str) -> None:
    choice, number = random.Random(name), 0
    async with cluster.client() as client:

        async def act() -> None:
            nonlocal number
            key = choice.choice(KEYS)
            number += 1
            value = f"{name}.{number}"
            began = time.monotonic()
            try:
                live = await client.get(CONFIGMAP, "default", key)
                revision = int(live["metadata"]["resourceVersion"])
                if choice.random() < DELETIONS:
                    options = DeleteOptions(resource_version=str(revision))
                    await client.delete(CONFIGMAP, "default", key, options)
                    history.acknowledged.append(Seen(began, time.monotonic(), key, revision, None))
                    return
                history.attempted[value] = key
                answer = await client.update(CONFIGMAP, "default", key, made(key, value, str(revision)))
            except NotFound:
                history.attempted[value] = key
                answer = await client.create(CONFIGMAP, "default", made(key, value))
            except Conflict:
                return
            revision = int(answer["metadata"]["resourceVersion"])
            history.acknowledged.append(Seen(began, time.monotonic(), key, revision, value))

        await again_and_again(act, stop)


async def read(cluster: Cluster, history: History, stop: asyncio.Event) -> None:
    async with cluster.client() as client:

        async def act() -> None:
            key, began = random.choice(KEYS), time.monotonic()
            live = await client.get(CONFIGMAP, "default", key)
            revision = int(live["metadata"]["resourceVersion"])
            history.reads.append(Seen(began, time.monotonic(), key, revision, live["data"]["v"]))

        await again_and_again(act, stop)


async def follow(cluster: Cluster, history: History, start: Revision) -> None:
    seen: list[Event] = []
    history.watched.append(seen)
    never = asyncio.Event()
    async with cluster.client() as client:

        async def act() -> None:
            since = Revision(seen[-1].revision) if seen else start
            async for event in client.watch(CONFIGMAP, "default", since=since):
                obj = decoded(event.object)
                if event.type != "BOOKMARK":
                    metadata = obj["metadata"]
                    revision = int(metadata["resourceVersion"])
                    seen.append(Event(event.type, metadata["name"], revision, obj["data"]["v"]))

        await again_and_again(act, never)


def decoded(content: bytes) -> Any:
    import msgspec

    return msgspec.json.decode(content)


@pytest.mark.timeout(60 + 15 * ROUNDS)
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
        history.attempted["end"] = "end"
        async with cluster.client() as client:
            await client.create(CONFIGMAP, "default", made("end", "end"))
        async with asyncio.timeout(20):
            while any(not seen or seen[-1].key != "end" for seen in history.watched):
                await asyncio.sleep(0.01)
        for follower in followers:
            follower.cancel()
    await cluster.kill()
    check(history)
