"""Answers: /openapi/v2 and /openapi/v3, built in a thread when first asked for, kept compressed in memory.

A document's name (`?hash=`, ETag) is made of what it is built from, so the index needs no document to be built.
"""

import asyncio
import gzip
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import lru_cache
from importlib import resources as package_files
from typing import Any, Final

import msgspec

from knarr.apiserver.context import RequestContext
from knarr.apiserver.openapi import documents, gnostic, gnostic_v3
from knarr.apiserver.resources import Resources
from knarr.apiserver.status import Refusal
from knarr.kinds.registry import Kind
from knarr.wire import http

PROTOBUF_V2: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""With dots: the form with `@`, which clients accept, breaks Go's parser of media types in an answer."""
PROTOBUF_V3: Final = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"
JSON: Final = "application/json"
YEAR: Final = timedelta(days=365)
"""How long a document may be kept by its name, as upstream."""
FORM: Final = "3"
"""Counts changes of how documents are written, so that clients drop what they kept."""


class OpenApi:
    """The documents of one table of kinds."""

    def __init__(self, resources: Resources) -> None:
        # Kinds without a schema (kinds/metrics.py) are not described.
        self.kinds = [resource.kind for resource in resources.by_path.values() if resource.kind.type_name]
        self.by_version: dict[str, list[Kind]] = {}
        for kind in self.kinds:
            name = f"apis/{kind.group}/{kind.version}" if kind.group else f"api/{kind.version}"
            self.by_version.setdefault(name, []).append(kind)
        self._built: dict[str, bytes] = {}
        self._lock = asyncio.Lock()

    async def document(self, name: str, make: Callable[[], bytes]) -> bytes:
        """A document, gzip-compressed; one is built at a time, off the event loop."""
        async with self._lock:
            if name not in self._built:
                self._built[name] = await asyncio.to_thread(lambda: gzip.compress(make(), 1, mtime=0))
        return self._built[name]

    def index(self) -> bytes:
        paths = {
            name: {"serverRelativeURL": f"/openapi/v3/{name}?hash={digest(name, kinds)}"}
            for name, kinds in self.by_version.items()
        }
        return msgspec.json.encode({"paths": paths})

    async def v3(self, name: str, media: str) -> bytes:
        kinds = self.by_version[name]
        if media == JSON:
            return await self.document(f"v3 {name}", lambda: msgspec.json.encode(documents.v3(kinds)))
        return await self.document(f"v3 {name} protobuf", lambda: gnostic_v3.document(documents.v3(kinds)))

    async def v2(self, media: str) -> bytes:
        if media == JSON:
            return await self.document("v2", lambda: msgspec.json.encode(documents.v2(self.kinds)))
        return await self.document("v2 protobuf", lambda: gnostic.document(documents.v2(self.kinds)))


@lru_cache(maxsize=1)
def _facts_digest() -> bytes:
    folder = package_files.files("knarr.kinds").joinpath("facts")
    return hashlib.sha256(folder.joinpath("types.json").read_bytes() + FORM.encode()).digest()


def digest(name: str, kinds: list[Kind]) -> str:
    """The name of a document: changes with the facts and with what is served."""
    served = "".join(f"{kind.group}/{kind.version}/{kind.plural};" for kind in kinds)
    return hashlib.sha512(_facts_digest() + name.encode() + served.encode()).hexdigest().upper()


@lru_cache(maxsize=4)
def of(resources: Resources) -> OpenApi:
    return OpenApi(resources)


async def answer(context: RequestContext) -> http.Response:
    """GET of /openapi/v2, /openapi/v3 and what is below it."""
    found = of(context.server.resources)
    parts = context.request.path.strip("/").split("/")
    accept = context.request.header("accept")
    match parts[1:]:
        case ["v3"]:
            return http.Response(200, (("content-type", JSON), ("vary", "Accept")), found.index())
        case ["v3", *rest] if "/".join(rest) in found.by_version:
            name = "/".join(rest)
            media = _chosen(accept, "v3", PROTOBUF_V3)
            return await _tagged(context, digest(name, found.by_version[name]), media, lambda: found.v3(name, media))
        case ["v2"]:
            media = _chosen(accept, "v2", PROTOBUF_V2)
            return await _tagged(context, digest(media, found.kinds), media, lambda: found.v2(media))
    return http.Response(404, (("content-type", "text/plain; charset=utf-8"),), b"404 page not found\n")


def _chosen(accept: str, version: str, protobuf: str) -> str:
    """The media type of the answer: the first that the client names of those there are. Raises a 406 Refusal."""
    if not accept:
        return JSON
    for part in accept.split(","):
        name = part.partition(";")[0].strip().lower()
        if name in ("*/*", "application/*", JSON):
            return JSON
        # Clients write com.github.proto-openapi.spec.v3@v1.0+protobuf as well, and googleapis' names before it.
        if f"openapi.spec.{version}" in name.replace("openapiv", "openapi.spec.v") and "protobuf" in name:
            return protobuf
    raise Refusal(406, "NotAcceptable", f"only the following media types are accepted: {JSON}, {protobuf}")


async def _tagged(context: RequestContext, tag: str, media: str, make: Callable[[], Any]) -> http.Response:
    """The document unless the client already has it; compressed when it can read that."""
    quoted = f'"{tag}"'
    hashed = context.query.get("hash", "")
    headers: http.Headers = (("etag", quoted), ("vary", "Accept, Accept-Encoding"))
    if hashed and hashed != tag:  # the document has another name by now, as after an upgrade
        return http.Response(301, (("location", f"{context.request.path}?hash={tag}"),), b"")
    if hashed:
        expires = format_datetime(datetime.now(UTC) + YEAR, usegmt=True)
        headers += (("cache-control", "public, immutable"), ("expires", expires))
    else:
        headers += (("cache-control", "no-cache, private"),)
    if quoted in context.request.header("if-none-match"):
        return http.Response(304, headers, b"")
    body = await make()
    headers += (("content-type", media),)
    if "gzip" in context.request.header("accept-encoding"):
        return http.Response(200, (*headers, ("content-encoding", "gzip")), body)
    return http.Response(200, headers, gzip.decompress(body))
