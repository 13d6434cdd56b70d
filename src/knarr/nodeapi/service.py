"""The node's own API for the CLI, HTTP over /run/knarr/NAME/node.sock: build, and everything about images.

`NodeService.handler` takes requests from wire/http_server.py. Only root and the cluster's owner may ask (the socket is
0600 as well). Routes are rows; long work answers in JSON lines (streams.py). Who builds and stores is below.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec

from knarr.base import logs
from knarr.base.errors import BadRequest, Forbidden, KnarrError, NotFound
from knarr.builder import export
from knarr.builder.solve import Builder
from knarr.images import archives
from knarr.images.companions import Companions
from knarr.images.image_store import ImageStore
from knarr.images.overlay import OverlaySnapshots
from knarr.images.pull import Puller
from knarr.images.push import Pusher
from knarr.nodeapi import answers, pruning, streams, transfers
from knarr.nodeapi.builds import Builds
from knarr.nodeapi.messages import BODY_MAX, BuildBody, PruneBody, RemoveBody, TagBody, TransferBody, decode
from knarr.oci import digest as digests
from knarr.oci import reference as references
from knarr.oci.digest import Digest
from knarr.wire import http
from knarr.wire.http import Request, Response

SMALL_MAX = 1 << 20
JSON = (("content-type", "application/json"),)
LINES = (("content-type", "application/x-ndjson"),)
_log = logs.log("nodeapi")
_STATUS = {
    "NotFound": 404,
    "Invalid": 422,
    "BadRequest": 400,
    "Forbidden": 403,
    "Conflict": 409,
    "TooLarge": 413,
    "Unimplemented": 501,
}


class NodeService:
    """`owner_uid` may use it besides root."""

    def __init__(
        self, images: ImageStore, snapshots: OverlaySnapshots, builder: Builder, puller: Puller, pusher: Pusher
    ) -> None:
        self.owner_uid = 0
        self._images = images
        self._snapshots = snapshots
        self._builder = builder
        self._builds = Builds(builder, puller)
        self._puller = puller
        self._companions = Companions(images, puller)
        self._pusher = pusher

    async def handler(self, request: Request) -> Response:
        try:
            self._check(request)
            return await self._route(request)
        except KnarrError as error:
            status = next((_STATUS[k.__name__] for k in type(error).__mro__ if k.__name__ in _STATUS), 500)
            return Response(status, JSON, msgspec.json.encode(streams.error_fields(error)))

    def _check(self, request: Request) -> None:
        credentials = request.peer.credentials
        if credentials is None or credentials[1] not in (0, self.owner_uid):
            raise Forbidden("this socket is for root and the cluster's owner alone")

    async def _route(self, request: Request) -> Response:
        path = unquote(request.path)
        route = _ROUTES.get((request.method, path))
        if route is not None:
            return await route(self, request)
        parts = path.strip("/").split("/")
        if request.method == "POST" and len(parts) == 3 and parts[0] == "builds" and parts[2] == "content":
            count = await self._builds.receive(parts[1], request.body)
            return _json({"received": count})
        raise NotFound(f"{request.method} {path[:100]} is nothing this socket answers")

    async def _build(self, request: Request) -> Response:
        content = await request.read(BODY_MAX)
        # A large context's list takes long to read; the kubelet shares this loop.
        body: BuildBody = await asyncio.to_thread(decode, content, BuildBody)
        return Response(200, LINES, streams.lines("build", lambda say: self._builds.build(body, say)))

    async def _list(self, _request: Request) -> Response:
        return _json({"images": answers.listed(self._images)})

    async def _tag(self, request: Request) -> Response:
        body: TagBody = decode(await request.read(SMALL_MAX), TagBody)
        name = self._images.tag(body.source, body.target)
        return _json({"name": name.parsed.familiar, "digest": name.digest})

    async def _remove(self, request: Request) -> Response:
        body: RemoveBody = decode(await request.read(SMALL_MAX), RemoveBody)
        forgotten = [
            reference.familiar
            for text in body.images
            for reference in self._images.remove(text, all_names=body.all_names)
        ]
        return _json({"removed": forgotten})

    async def _push(self, request: Request) -> Response:
        body: TransferBody = decode(await request.read(SMALL_MAX), TransferBody)
        return Response(200, LINES, streams.lines("push", lambda say: transfers.push(self._pusher, body, say)))

    async def _pull(self, request: Request) -> Response:
        body: TransferBody = decode(await request.read(SMALL_MAX), TransferBody)
        return Response(
            200, LINES, streams.lines("pull", lambda say: transfers.pull(self._puller, self._companions, body, say))
        )

    async def _save(self, request: Request) -> Response:
        texts = _images_of(request)
        for text in texts:
            self._images.resolve(text)
        with_referrers = "referrers" in parse_qs(request.query)
        archive = archives.save(self._images, texts, with_referrers=with_referrers)
        return Response(200, (("content-type", "application/x-tar"),), archive)

    async def _export(self, request: Request) -> Response:
        asked = parse_qs(request.query)
        digest = self._cache(asked["cache"][0]) if "cache" in asked else digests.parse(asked.get("digest", [""])[0])
        names = [references.parse(name) for name in asked.get("name", [])]
        self._images.content.info(digest)
        tools = self._builder.tools
        if asked.get("type", ["archive"])[0] == "tree":
            stream = export.tree(self._images, tools.layering, digest)
        else:
            stream = export.archive(self._images, digest, names)
        return Response(200, (("content-type", "application/x-tar"),), stream)

    def _cache(self, text: str) -> Digest:
        name = self._images.names.find(references.parse(text))
        if name is None:
            raise NotFound(f"build cache {text} is not here")
        return name.digest

    async def _load(self, request: Request) -> Response:
        names = await archives.load(self._images, http.chunks(request.body))
        return _json({"names": [name.parsed.familiar for name in names]})

    async def _prune(self, request: Request) -> Response:
        body: PruneBody = decode(await request.read(SMALL_MAX), PruneBody)
        return _json(await pruning.prune(self._images, self._snapshots, self._builder, body))

    async def _inspect(self, request: Request) -> Response:
        return _json([answers.inspected(self._images, text) for text in _images_of(request)])

    async def _history(self, request: Request) -> Response:
        return _json([answers.history(self._images, text) for text in _images_of(request)])


Route = Callable[[NodeService, Request], Awaitable[Response]]
_ROUTES: dict[tuple[str, str], Route] = {
    ("POST", "/build"): NodeService._build,
    ("GET", "/images"): NodeService._list,
    ("POST", "/tag"): NodeService._tag,
    ("POST", "/remove"): NodeService._remove,
    ("POST", "/push"): NodeService._push,
    ("POST", "/pull"): NodeService._pull,
    ("GET", "/save"): NodeService._save,
    ("GET", "/export"): NodeService._export,
    ("POST", "/load"): NodeService._load,
    ("POST", "/prune"): NodeService._prune,
    ("GET", "/inspect"): NodeService._inspect,
    ("GET", "/history"): NodeService._history,
}


def _json(answer: Any) -> Response:
    return Response(200, JSON, msgspec.json.encode(answer))


def _images_of(request: Request) -> list[str]:
    texts = parse_qs(request.query).get("image", [])
    if not texts:
        raise BadRequest("no image is named")
    return texts
