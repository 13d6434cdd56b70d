"""The registry as a process of its own: its memory stays flat however large the layer, and a kill shows nothing half.

`KNARR_LAYER_BYTES` makes the layer larger (soak: 5 GB).
"""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from knarr.base import failpoints
from knarr.base.errors import KnarrError
from knarr.images.local_content import LocalContent
from knarr.wire.http import Request
from knarr.wire.http_client import Client, Target

SERVER = """
import asyncio, sys
from pathlib import Path
from knarr.images.local_content import LocalContent
from knarr.images.names import Names
from knarr.registry.service import Registry
from knarr.wire.http_server import Limits, Server

async def main():
    root = Path(sys.argv[1])
    registry = Registry(LocalContent(root), Names(root / "names.json"))
    port = await Server(registry.handler, limits=Limits(body_bytes=None)).listen_tcp("127.0.0.1", 0)
    print(port, flush=True)
    await asyncio.get_running_loop().create_future()

asyncio.run(main())
"""
LAYER_BYTES = int(os.environ.get("KNARR_LAYER_BYTES", 256 << 20))
GROWTH_MAX = 40 << 20
"""Batches of a megabyte, buffers of the sockets and the allocator's own leftovers, far below the layer."""
PIECE = bytes(1 << 20)
CONFIG = b"{}"


@dataclass
class Running:
    process: "subprocess.Popen[str]"
    port: int

    def memory_most(self) -> int:
        """The most memory that the process ever held, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024


@contextlib.contextmanager
def running(root: Path, armed: str = "") -> Iterator[Running]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src"), failpoints.ENVIRONMENT: armed}
    command = [sys.executable, "-c", SERVER, str(root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        try:
            yield Running(process, int(process.stdout.readline()))
        finally:
            process.kill()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    client = Client()
    yield client
    await client.close()


async def zeros(size: int) -> AsyncIterator[bytes]:
    while size:
        piece = PIECE[:size]
        size -= len(piece)
        yield piece


async def push(client: Client, server: Running, size: int) -> int:
    """Push a layer of zeros in one stream; the status of the last request."""
    target = Target("127.0.0.1", server.port)
    opened = await client.request(target, Request("POST", "/v2/web/blobs/uploads/"))
    await opened.read(1 << 16)
    length = (("content-length", str(size)),)
    put = Request("PUT", opened.header("location"), f"digest={digest_of_zeros(size)}", length, zeros(size))
    done = await client.request(target, put, head_seconds=600)
    await done.read(1 << 16)
    return done.status


def digest_of_zeros(size: int) -> str:
    hashed = hashlib.sha256()
    while size:
        hashed.update(PIECE[: min(size, len(PIECE))])
        size -= min(size, len(PIECE))
    return f"sha256:{hashed.hexdigest()}"


@pytest.mark.timeout(900)
async def test_memory_stays_flat_for_a_large_layer(tmp_path: Path, client: Client) -> None:
    with running(tmp_path) as server:
        assert await push(client, server, 4 << 20) == 201  # imports and pools are paid for
        before = server.memory_most()
        assert await push(client, server, LAYER_BYTES) == 201
        assert server.memory_most() - before < GROWTH_MAX
        path = f"/v2/web/blobs/{digest_of_zeros(LAYER_BYTES)}"
        response = await client.request(Target("127.0.0.1", server.port), Request("GET", path))
        size = 0
        async for chunk in response.chunks():
            size += len(chunk)
        assert size == LAYER_BYTES
        assert server.memory_most() - before < GROWTH_MAX


@pytest.mark.parametrize("failpoint", ["content.before_rename", "content.after_rename", "names.before_save"])
async def test_a_kill_shows_the_whole_or_nothing(tmp_path: Path, client: Client, failpoint: str) -> None:
    """Killed at each step of a push, then pushed again: what is visible is verified, and a tag never lacks a blob."""
    with running(tmp_path, f"{failpoint}=exit") as server:
        with contextlib.suppress(KnarrError):
            await image(client, server)
        assert server.process.wait(20) == -signal.SIGKILL
    verify(tmp_path)
    with running(tmp_path) as server:
        assert await image(client, server) == 201
        response = await client.request(Target("127.0.0.1", server.port), Request("GET", "/v2/web/manifests/1"))
        assert (response.status, len(await response.read(1 << 16)) > 0) == (200, True)
    assert verify(tmp_path) == 3


async def test_a_kill_in_the_middle_of_an_upload_leaves_nothing(tmp_path: Path, client: Client) -> None:
    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield PIECE * 4
        started.set()
        await asyncio.get_running_loop().create_future()

    with running(tmp_path) as server:
        opened = await client.request(Target("127.0.0.1", server.port), Request("POST", "/v2/web/blobs/uploads/"))
        await opened.read(1 << 16)
        length = (("content-length", str(1 << 30)),)
        put = Request("PUT", opened.header("location"), f"digest={digest_of_zeros(1 << 30)}", length, endless())
        pushing = asyncio.create_task(client.request(Target("127.0.0.1", server.port), put))
        await started.wait()
        server.process.kill()
        with contextlib.suppress(KnarrError):
            await pushing
    assert verify(tmp_path) == 0


async def image(client: Client, server: Running) -> int:
    """Push an image of one layer; the manifest's status."""
    target = Target("127.0.0.1", server.port)
    layer = bytes(100_000)
    parts = []
    for body in (CONFIG, layer):
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        made = await client.request(target, Request("POST", "/v2/web/blobs/uploads/", f"digest={digest}", (), body))
        await made.read(1 << 16)
        parts.append({"digest": digest, "size": len(body)})
    kinds = ("application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar")
    config, only = ({"mediaType": kind, **part} for kind, part in zip(kinds, parts, strict=True))
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [only]}
    put = Request("PUT", "/v2/web/manifests/1", "", (("content-type", kind),), json.dumps(manifest).encode())
    done = await client.request(target, put)
    await done.read(1 << 16)
    return done.status


def verify(root: Path) -> int:
    """Every visible blob is what its name says; every name leads to one. How many blobs there are."""
    content = LocalContent(root)
    blobs = [blob.digest for blob in content.walk()]
    for digest in blobs:
        with open(content.path(digest), "rb") as file:
            assert f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" == digest
    assert list((root / "ingest").iterdir()) == []
    names = root / "names.json"
    for name in json.loads(names.read_bytes()) if names.exists() else []:
        assert name["digest"] in blobs
    return len(blobs)
