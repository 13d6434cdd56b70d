"""The node API's handler: who may ask, images, archives, builds that touch no file system, errors."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from knarr.base.clock import SystemClock
from knarr.base.errors import BadRequest, Invalid, KnarrError, NotFound
from knarr.builder.context_store import ContextStore
from knarr.builder.solve import Builder
from knarr.builder.steps.run import Machine
from knarr.images.pull import Puller
from knarr.images.push import Pusher
from knarr.nodeapi import builds, streams
from knarr.nodeapi.messages import ContextEntry
from knarr.nodeapi.service import NodeService
from knarr.oci import digest
from knarr.runtime.memory import MemoryRuntime
from knarr.wire.http import Peer, Request, Response, read_body
from knarr.wire.http_client import Client
from tests.unit.images import made
from tests.unit.images.made import Made

ROOT = Peer(credentials=(1, 0, 0))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Made]:
    fresh = made.made(tmp_path)
    yield fresh
    fresh.content.close()


@pytest.fixture
def service(store: Made, tmp_path: Path) -> NodeService:
    machine = Machine(MemoryRuntime(SystemClock()), tmp_path / "run", "/none")
    builder = Builder(store.store, tmp_path / "builder", machine)
    client = Client()
    own = Pusher(store.store, client, own_domain="localhost:5000")
    return NodeService(store.store, store.snapshots, builder, Puller(store.store, client), own)


async def ask(service: NodeService, method: str, path: str, body: object = None, peer: Peer = ROOT) -> Response:
    path, _, query = path.partition("?")
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await service.handler(Request(method, path, query, body=content, peer=peer))


async def answer(service: NodeService, method: str, path: str, body: object = None) -> Any:
    response = await ask(service, method, path, body)
    return response.status, json.loads(await read_body(response.body, 1 << 20))


async def lines(service: NodeService, path: str, body: object) -> list[dict[str, Any]]:
    response = await ask(service, "POST", path, body)
    return [json.loads(line) for line in (await read_body(response.body, 1 << 20)).splitlines()]


@pytest.mark.parametrize(
    ("peer", "status"),
    [(ROOT, 200), (Peer(credentials=(1, 1000, 1000)), 200), (Peer(credentials=(1, 1001, 1001)), 403), (Peer(), 403)],
)
async def test_only_root_and_the_owner_may_ask(service: NodeService, peer: Peer, status: int) -> None:
    service.owner_uid = 1000
    assert (await ask(service, "GET", "/images", peer=peer)).status == status


async def test_images_are_listed_tagged_and_untagged(service: NodeService, store: Made) -> None:
    store.image("localhost:5000/web:v1", "a")
    _, tagged = await answer(service, "POST", "/tag", {"source": "localhost:5000/web:v1", "target": "web"})
    assert tagged["name"] == "web:latest"
    _, listed = await answer(service, "GET", "/images")
    assert sorted((row["repository"], row["tag"]) for row in listed["images"]) == [
        ("localhost:5000/web", "v1"),
        ("web", "latest"),
    ]
    assert await answer(service, "POST", "/remove", {"images": ["web"]}) == (200, {"removed": ["web:latest"]})
    assert (await answer(service, "POST", "/remove", {"images": ["web"]}))[0] == 404


async def test_an_archive_comes_back_as_it_went(service: NodeService, store: Made) -> None:
    store.image("web:v1", "a")
    saved = await ask(service, "GET", "/save?image=web:v1")
    archive = await read_body(saved.body, 1 << 20)
    await answer(service, "POST", "/remove", {"images": ["web:v1"]})
    assert await answer(service, "POST", "/load", archive) == (200, {"names": ["web:v1"]})


async def test_a_push_to_the_own_registry_sends_nothing(service: NodeService, store: Made) -> None:
    name = store.image("localhost:5000/web:v1", "a")
    said = await lines(service, "/push", {"image": "localhost:5000/web:v1"})
    assert said[-1] == {"result": {"name": "localhost:5000/web:v1", "digest": name.digest}}
    assert (await lines(service, "/push", {"image": "web:none"}))[-1]["error"] == "NotFound"


async def test_a_build_without_files_names_an_image_with_history(service: NodeService, store: Made) -> None:
    store.image("base:1", "a")
    body = {"dockerfile": "FROM base:1\nENV A=1\nLABEL l=$A\n", "context": [], "names": ["out"], "labels": {"m": "n"}}
    first = (await lines(service, "/build", body))[-1]["result"]
    assert first["names"] == ["out:latest"]
    assert (await lines(service, "/build", body))[-1]["result"] == first
    _, (inspected,) = await answer(service, "GET", "/inspect?image=out")
    assert inspected["Config"]["Labels"] == {"l": "1", "m": "n"}
    assert inspected["Id"] == first["id"]
    _, (history,) = await answer(service, "GET", "/history?image=out")
    assert [row["created_by"] for row in history] == ["LABEL l=$A", "ENV A=1"]


@pytest.mark.parametrize(
    ("dockerfile", "error", "message"),
    [
        ("FROM base\nCOPPY a b\n", "DockerfileFault", 'Dockerfile:2: unknown instruction "COPPY"'),
        ("FROM base:1\nCOPY ../x /\n", "DockerfileFault", "../x lies outside the build context"),
        ("FROM base:1\nCOPY nothere /\n", "DockerfileFault", "'nothere' is not there in the build context"),
    ],
)
async def test_a_build_that_cannot_be_says_why(
    service: NodeService, store: Made, dockerfile: str, error: str, message: str
) -> None:
    store.image("base:1", "a")
    last = (await lines(service, "/build", {"dockerfile": dockerfile, "context": []}))[-1]
    assert last["error"] == error
    assert message in last["message"]


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a//b", "a/./b", "", "a\0b"])
async def test_a_context_path_that_leaves_the_context_is_refused(path: str) -> None:
    with pytest.raises(Invalid, match="is not a path inside it"):
        builds.entry(ContextEntry(path, "f", 0o644))


async def test_errors_have_a_status(service: NodeService) -> None:
    for method, path, body, status in [
        ("GET", "/nothing", None, 404),
        ("POST", "/build", b"{", 400),
        ("GET", "/inspect", None, 400),
        ("GET", "/inspect?image=UPPER", None, 422),
        ("POST", "/builds/none/content", b"", 404),
    ]:
        assert (await answer(service, method, path, body))[0] == status, path


async def test_a_reader_who_goes_away_ends_the_work() -> None:
    ended = asyncio.Event()

    async def work(say: streams.Say) -> dict[str, Any]:
        say(one=1)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return {}

    stream = streams.lines("test", work)
    assert await anext(stream) == b'{"one":1}\n'
    assert isinstance(stream, AsyncIterator)
    await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
    assert ended.is_set()


async def test_an_error_is_the_last_line_with_its_exit_code() -> None:
    async def work(_say: streams.Say) -> dict[str, Any]:
        raise KnarrError("no")

    found = [piece async for piece in streams.lines("test", work)]
    assert found == [b'{"error":"KnarrError","message":"no"}\n']


class Frames:
    """A build that waits for content, and what it said."""

    def __init__(self, root: Path) -> None:
        self.store = ContextStore(root)
        self.said: list[dict[str, Any]] = []
        self.content = builds.Content(self.store, "id", lambda **fields: self.said.append(fields))


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_content_is_asked_for_once_and_comes_in_pieces_of_any_size(tmp_path: Path, size: int) -> None:
    frames = Frames(tmp_path)
    files = [b"", b"hello", b"x" * 300]
    names = [digest.of(file) for file in files]
    sent = b"".join(f"{name} {len(file)}\n".encode() + file for name, file in zip(names, files, strict=True))

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(sent), size):
            yield sent[start : start + size]

    waiting = [asyncio.create_task(frames.content.need(names)) for _ in range(2)]
    await asyncio.sleep(0)
    assert await frames.content.receive(pieces()) == 3
    await asyncio.gather(*waiting)
    assert frames.said == [{"need": names, "build": "id"}]


@pytest.mark.parametrize(
    "sent", [b"sha256:00 5\nhello", b"junk", b"x" * 500, b"%s 9\nshort", b"%s -1\n", b"%s 5\nother"]
)
async def test_content_that_was_not_asked_for_or_is_broken_is_refused(tmp_path: Path, sent: bytes) -> None:
    frames = Frames(tmp_path)
    name = digest.of(b"hello")
    waiting = asyncio.create_task(frames.content.need([name]))
    await asyncio.sleep(0)
    with pytest.raises((BadRequest, Invalid)):
        await frames.content.receive(sent.replace(b"%s", name.encode()))
    waiting.cancel()
    assert frames.store.missing([name]) == [name]


async def test_a_build_that_is_over_takes_no_content(service: NodeService) -> None:
    with pytest.raises(NotFound):
        await builds.Builds(service._builder, service._puller).receive("gone", b"")
