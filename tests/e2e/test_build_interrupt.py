"""Ctrl-C while the command builds, and a command that is killed: the node ends the build and nothing of it is left."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from knarr.images.pull import Puller
from knarr.images.push import Pusher
from knarr.nodeapi.service import NodeService
from knarr.wire.http_client import Client
from knarr.wire.http_server import Limits, Server
from tests.e2e import build_node
from tests.e2e.build_node import Node
from tests.e2e.test_build import BASE, BUSYBOX, leftovers

pytestmark = pytest.mark.skipif(os.getuid() != 0 or BUSYBOX is None, reason="needs root and busybox-static")
SECONDS = 30.0


@asynccontextmanager
async def served(directory: Path) -> AsyncIterator[tuple[Node, str]]:
    """A node that the command finds by name."""
    name = f"e2e-interrupt-{os.getpid()}"
    run_dir = Path("/run/knarr") / name
    run_dir.mkdir(parents=True)
    client = Client()
    try:
        async with build_node.node(directory) as node:
            puller, pusher = Puller(node.images, client), Pusher(node.images, client)
            service = NodeService(node.images, node.snapshots, node.builder, puller, pusher)
            server = Server(service.handler, limits=Limits(body_bytes=None))
            await server.listen_unix(run_dir / "node.sock", owner=0)
            try:
                yield node, name
            finally:
                await server.close(grace_seconds=1.0)
    finally:
        shutil.rmtree(run_dir)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_an_interrupted_command_leaves_no_build_behind(tmp_path: Path, number: signal.Signals) -> None:
    context = tmp_path / "context"
    context.mkdir()
    shutil.copy(str(BUSYBOX), context / "busybox")
    (context / "Dockerfile").write_text(
        BASE
        + "RUN --mount=type=secret,id=a --mount=type=cache,target=/c --mount=type=bind,target=/b"
        + " echo started; trap '' INT TERM; sleep 1000\n"
    )
    async with served(tmp_path) as (node, name):
        words = ("build", "--name", name, "--secret", f"id=a,src={context}/Dockerfile", str(context))
        heard = ("env", "--default-signal=INT")  # who runs these tests in the background has them ignore it
        command = await asyncio.create_subprocess_exec(
            *heard, sys.executable, "-m", "knarr", *words, stderr=asyncio.subprocess.PIPE, start_new_session=True
        )
        assert command.stderr is not None
        async with asyncio.timeout(SECONDS):
            while b"started" not in (line := await command.stderr.readline()) or b"echo" in line:
                assert line, "the build ended before its command began"
            assert not node.builder.is_idle
            command.send_signal(number)
            await command.wait()
            while not node.builder.is_idle:
                await asyncio.sleep(0.01)
        assert command.returncode == (130 if number == signal.SIGINT else -signal.SIGKILL)
        assert leftovers(node) == []
        runtime = node.builder.tools.machine.run_dir.with_name("runtime")
        assert list((runtime / "containers").iterdir()) == []
