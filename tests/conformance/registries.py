"""A knarr registry on a real loopback port, and a registry with authentication, redirects and faults before it."""

import asyncio
import base64
import contextlib
import json
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs

from knarr.base.errors import BadRequest
from knarr.images import layer_diff
from knarr.images.content import add
from knarr.images.image_store import ImageStore
from knarr.images.local_content import LocalContent
from knarr.images.names import Names
from knarr.images.overlay import OverlaySnapshots
from knarr.oci import image_config, manifest
from knarr.oci import reference as references
from knarr.oci.digest import Digest
from knarr.oci.image_config import ImageConfig, RootFs
from knarr.oci.manifest import Descriptor, Manifest
from knarr.oci.platform import Platform
from knarr.registry.options import Options, gates
from knarr.registry.service import Registry
from knarr.wire.http import Request, Response
from knarr.wire.http_server import Limits, Server


@dataclass
class Served:
    """A store and the address that it is served under."""

    store: ImageStore
    content: LocalContent
    snapshots: OverlaySnapshots
    domain: str


def open_store(directory: Path) -> tuple[ImageStore, LocalContent, OverlaySnapshots]:
    content, snapshots = LocalContent(directory), OverlaySnapshots(directory)
    return (
        ImageStore(content, Names(directory / "names.json"), snapshots, Platform(architecture="amd64")),
        content,
        snapshots,
    )


@contextlib.asynccontextmanager
async def served(
    directory: Path,
    gate: "Gate | None" = None,
    *,
    options: Options | None = None,
    tls: ssl.SSLContext | None = None,
    port: int = 0,
) -> AsyncIterator[Served]:
    """Serve the store in a directory; `gate` stands before it."""
    store, content, snapshots = open_store(directory)
    server = Server(_unready, limits=Limits(body_bytes=None))
    port = await server.listen_tcp("127.0.0.1", port, tls=tls)
    domain = f"localhost:{port}"
    around = gates(options or Options(), content, store.names, domain, directory / "registries.json")
    registry = Registry(content, store.names, domain, around)
    if gate is not None:
        gate.registry, gate.port = registry, port
    server.handler = registry.handler if gate is None else gate.handler
    try:
        yield Served(store, content, snapshots, domain)
    finally:
        await registry.end()
        await server.close(grace_seconds=0.5)


async def _unready(_request: Request) -> Response:
    return Response(503)


@dataclass
class Gate:
    """What real registries put before theirs. Requests are kept as `METHOD path authorization`."""

    username: str = "ann"
    password: str = "secret"
    scheme: str = "bearer"
    redirects_blobs: bool = False
    realm_host: str = "localhost"
    cut_after: int = 0
    failures: int = 0
    slow: bool = False
    spoils: bool = False
    between: Callable[[], Awaitable[None]] | None = None
    hides_subjects: bool = False
    reads_slowly: bool = False
    cuts_uploads_after: int = 0
    resumes_elsewhere: bool = False
    location: str = ""
    elsewhere: str = ""
    has_referrers: bool = True
    spoils_referrers: str = ""
    realm: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    registry: Registry | None = None
    port: int = 0

    async def handler(self, request: Request) -> Response:
        authorization = request.header("authorization")
        self.asked.append((request.method, request.path, authorization))
        if request.path == "/token":
            return self._token(request, authorization)
        if request.path.startswith("/elsewhere/"):
            request.path = request.path.removeprefix("/elsewhere")
            return await self._answer(request)
        if authorization != self._wanted():
            return Response(401, (("www-authenticate", self._challenge()),), b"{}")
        if self.failures:
            self.failures -= 1
            return Response(503, (("retry-after", "0"),))
        if not self.has_referrers and "/referrers/" in request.path:
            return Response(404, (), b"404 page not found")
        if "/referrers/" in request.path and (self.spoils_referrers == "all" or "page=2" in request.query):
            return Response(200, (("content-type", "text/html"),), b"<html>Welcome</html>")
        if self.elsewhere:
            return Response(302, (("location", self.elsewhere),))
        if self.redirects_blobs and request.method == "GET" and "/blobs/sha256" in request.path:
            place = f"http://127.0.0.1:{self.port}/elsewhere{request.path}"
            return Response(307, (("location", place),))
        return await self._answer(request)

    async def _answer(self, request: Request) -> Response:
        assert self.registry is not None
        if self.reads_slowly and not isinstance(request.body, bytes):
            request.body = _slowly(request.body)
        if 0 < self.cuts_uploads_after < int(request.header("content-length") or 0):
            assert not isinstance(request.body, bytes)
            request.body = _cut_short(request.body, self.cuts_uploads_after)
            self.cuts_uploads_after = 0
        response = await self.registry.handler(request)
        if self.location and response.status == 202:
            response.headers = tuple(field for field in response.headers if field[0] != "location")
            response.headers = (*response.headers, ("location", self.location))
        if self.resumes_elsewhere and response.status == 206:
            response.headers = tuple(field for field in response.headers if field[0] != "content-range")
            response.headers = (*response.headers, ("content-range", "bytes 0-1/2"))
        if self.cut_after and not isinstance(response.body, bytes):
            response.body = _cut(response.body, self.cut_after)
            self.cut_after = 0
        if self.between is not None and not isinstance(response.body, bytes):
            response.body = _halves(response.body, self.between)
        if self.spoils_referrers == "the second page" and "/referrers/" in request.path:
            response.headers = (*response.headers, ("link", f'<{request.path}?page=2>; rel="next"'))
        if self.hides_subjects:
            response.headers = tuple(field for field in response.headers if field[0] != "oci-subject")
        if (self.slow or self.spoils) and not isinstance(response.body, bytes):
            response.body = _drops(response.body, spoils=self.spoils)
        return response

    def _token(self, request: Request, authorization: str) -> Response:
        scope = parse_qs(request.query).get("scope", [""])[0]
        if authorization and authorization != self._basic():
            return Response(401, (), b'{"errors":[{"code":"UNAUTHORIZED","message":"wrong password"}]}')
        granted = "token" if authorization or not self.password else "anonymous"
        return Response(200, (), json.dumps({"token": granted, "scope": scope}).encode())

    def _wanted(self) -> str:
        return self._basic() if self.scheme == "basic" else "Bearer token"

    def _basic(self) -> str:
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()

    def _challenge(self) -> str:
        if self.scheme == "basic":
            return 'Basic realm="registry"'
        realm = self.realm or f"http://{self.realm_host}:{self.port}/token"
        return f'Bearer realm="{realm}",service="s",scope="repository:web:pull,push"'


async def _halves(body: AsyncIterator[bytes], between: Callable[[], Awaitable[None]]) -> AsyncIterator[bytes]:
    """The first chunk, then what the test wants to happen, then the rest."""
    is_first = True
    async for chunk in body:
        yield chunk
        if is_first:
            is_first = False
            await between()


async def _cut_short(body: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """The start of what a client sends, then what the wire says of a client that left."""
    async for chunk in body:
        yield chunk
        size -= len(chunk)
        if size <= 0:
            raise BadRequest("the body was cut short")


async def _slowly(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What a client sends, as a slow line brings it."""
    async for chunk in body:
        await asyncio.sleep(0.03)
        yield chunk


async def _drops(body: AsyncIterator[bytes], *, spoils: bool) -> AsyncIterator[bytes]:
    """The body in small pieces between which others get their turn; its last byte is wrong if it is to be."""
    held = b""
    async for chunk in body:
        for start in range(0, len(chunk), 64 << 10):
            if held:
                yield held
                await asyncio.sleep(0.002)
            held = chunk[start : start + (64 << 10)]
    yield held[:-1] + bytes([held[-1] ^ 1]) if spoils else held


async def _cut(body: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """The start of a body, then a broken connection."""
    async for chunk in body:
        yield chunk[:size]
        size -= len(chunk)
        if size <= 0:
            raise ConnectionError("cut by the test")


def build(store: ImageStore, name: str, *contents: bytes, architecture: str = "amd64") -> Digest:
    """An image with one file in each layer, under a name."""
    layers, diff_ids = [], []
    for number, body in enumerate(contents):
        key = f"build-{os.urandom(4).hex()}"
        store.snapshots.prepare(key, "")
        (store.snapshots.upper(key) / f"file-{number}").write_bytes(body)
        os.utime(store.snapshots.upper(key) / f"file-{number}", (0, 0))
        layer = layer_diff.pack(store.snapshots.upper(key), store.content)
        store.snapshots.remove(key)
        layers.append(layer.descriptor)
        diff_ids.append(layer.diff_id)
    body = image_config.encode(ImageConfig(architecture=architecture, rootfs=RootFs(diff_ids=tuple(diff_ids))))
    blob = add(store.content, body)
    config = Descriptor(media_type=manifest.OCI_CONFIG, digest=blob.digest, size=blob.size)
    parsed = Manifest(schema_version=2, media_type=manifest.OCI_MANIFEST, config=config, layers=tuple(layers))
    return store.add(references.parse(name), store.put(parsed), "built").digest
