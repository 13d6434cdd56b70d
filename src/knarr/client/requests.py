"""ApiClient: client.client.Client spoken as HTTP messages over any Transport (a socket, or the server in process).

Builds the request of each verb, decodes answers and raises what a Status says (client/refusals.py).
Not here: connections (client/http.py, client/inprocess.py), watch restarts (client/resume.py), caches.
Spec: "Kubernetes API Concepts".
"""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any, Final, Protocol
from urllib.parse import quote, urlencode

import msgspec

from knarr.base.errors import Unavailable
from knarr.base.ids import Revision
from knarr.client import refusals
from knarr.client.client import DeleteOptions, EventType, Json, ListResult, PatchType, WatchEvent
from knarr.kinds.registry import Kind
from knarr.wire import http, strict_json

PATCH_MEDIA_TYPES: Final[dict[PatchType, str]] = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
ANSWER_BYTES_MAX: Final = 1 << 30
"""A list of 100,000 pods is about 400 MB; past this something else answered."""
LINE_BYTES_MAX: Final = 8 << 20
"""One watch event: an object of at most 1.5 MiB, escaped, with room."""


class Transport(Protocol):
    """Carries one request to the API server. A streaming body is closed when its iterator is."""

    async def send(self, request: http.Request) -> http.Response: ...


class _Answer(msgspec.Struct):
    code: int = 0
    message: str = ""


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = "0"


class _List(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] | None = None


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


_list_decoder = msgspec.json.Decoder(_List)
_event_decoder = msgspec.json.Decoder(_Event)
_json_decoder = msgspec.json.Decoder(Json)


class ApiClient:
    """Client over a Transport; `user_agent` names the part and is the default field manager upstream's way."""

    def __init__(self, transport: Transport, user_agent: str = "knarr") -> None:
        self._transport = transport
        self._headers: http.Headers = (("accept", "application/json"), ("user-agent", user_agent))
        self._manager = user_agent.partition("/")[0]

    async def get(self, kind: Kind, namespace: str, name: str) -> Json:
        return await self._json("GET", path(kind, namespace, name))

    async def list(self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = "") -> ListResult:
        query = urlencode(selectors(labels, fields))
        answer = await self._bytes(http.Request("GET", path(kind, namespace), query, self._headers))
        listed = _read(_list_decoder, answer)
        return ListResult(
            tuple(bytes(item) for item in listed.items or ()), Revision(int(listed.metadata.resource_version or 0))
        )

    async def watch(
        self, kind: Kind, namespace: str = "", *, since: Revision, labels: str = "", fields: str = ""
    ) -> AsyncIterator[WatchEvent]:
        query = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": str(since)}
        request = http.Request(
            "GET", path(kind, namespace), urlencode(query | selectors(labels, fields)), self._headers
        )
        response = await self._transport.send(request)
        if response.status != 200:
            raise refusals.error(response.status, await http.read_body(response.body, ANSWER_BYTES_MAX))
        lines = _lines(response.body)
        try:
            async for line in lines:
                yield _watch_event(line)
        finally:
            await lines.aclose()
            await close_body(response.body)

    async def create(self, kind: Kind, namespace: str, body: Json, *, name: str = "", subresource: str = "") -> Json:
        return await self._json("POST", path(kind, namespace, name, subresource), body)

    async def update(self, kind: Kind, namespace: str, name: str, body: Json, *, subresource: str = "") -> Json:
        return await self._json("PUT", path(kind, namespace, name, subresource), body)

    async def patch(
        self, kind: Kind, namespace: str, name: str, body: Any, *, patch: PatchType = "merge", subresource: str = ""
    ) -> Json:
        query = urlencode({"fieldManager": self._manager, "force": "true"}) if patch == "apply" else ""
        media_type = PATCH_MEDIA_TYPES[patch]
        return await self._json("PATCH", path(kind, namespace, name, subresource), body, query=query, media=media_type)

    async def delete(self, kind: Kind, namespace: str, name: str, options: DeleteOptions | None = None) -> None:
        await self._json("DELETE", path(kind, namespace, name), delete_body(options) if options else None)

    async def _json(
        self, method: str, target: str, body: Any = None, *, query: str = "", media: str = "application/json"
    ) -> Json:
        headers, content = self._headers, b""
        if body is not None:
            content = msgspec.json.encode(body)
            headers = (*headers, ("content-type", media), ("content-length", str(len(content))))
        answer = await self._bytes(http.Request(method, target, query, headers, content))
        decoded: Json = _read(_json_decoder, answer)
        return decoded

    async def _bytes(self, request: http.Request) -> bytes:
        response = await self._transport.send(request)
        answer = await http.read_body(response.body, ANSWER_BYTES_MAX)
        if not 200 <= response.status < 300:
            raise refusals.error(response.status, answer)
        return answer


def _read(decoder: Any, answer: bytes) -> Any:
    try:
        return decoder.decode(answer)
    except strict_json.UNREADABLE as error:
        raise Unavailable(f"the server's answer cannot be read: {error}") from error


def path(kind: Kind, namespace: str = "", name: str = "", subresource: str = "") -> str:
    """The URL path of a collection, an object or a subresource."""
    parts = [f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"]
    if namespace and kind.is_namespaced:
        parts += ["namespaces", quote(namespace, safe="")]
    parts.append(kind.plural)
    parts += [quote(part, safe="") for part in (name, subresource) if part]
    return "/".join(parts)


def selectors(labels: str, fields: str) -> dict[str, str]:
    """The query parameters of label and field selectors; empty ones are left out."""
    return {key: value for key, value in (("labelSelector", labels), ("fieldSelector", fields)) if value}


def delete_body(options: DeleteOptions) -> Json:
    """metav1.DeleteOptions as JSON."""
    body: Json = {"kind": "DeleteOptions", "apiVersion": "v1"}
    if options.grace_period_seconds is not None:
        body["gracePeriodSeconds"] = options.grace_period_seconds
    if options.propagation is not None:
        body["propagationPolicy"] = options.propagation
    preconditions = {
        key: value
        for key, value in (("uid", options.uid), ("resourceVersion", options.resource_version))
        if value is not None
    }
    return body | {"preconditions": preconditions} if preconditions else body


def _watch_event(line: bytes) -> WatchEvent:
    event = _read(_event_decoder, line)
    content = bytes(event.object)
    if event.type == "ERROR":
        raise refusals.error(0, content)
    kind: EventType
    match event.type:
        case "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" as kind:
            return WatchEvent(kind, content)
        case other:
            raise Unavailable(f"the watch sent an event of the unknown type {other!r}")


async def _lines(body: AsyncIterator[bytes] | bytes) -> AsyncGenerator[bytes, None]:
    """The lines of a streamed body, without their ends; a cut last line is dropped (the watch resumes before it)."""
    rest = b""
    async for chunk in http.chunks(body):
        rest = rest + chunk if rest else chunk
        *complete, rest = rest.split(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            raise Unavailable(f"the watch sent a line of more than {LINE_BYTES_MAX} bytes")
        for line in complete:
            if line:
                yield line


async def close_body(body: AsyncIterator[bytes] | bytes) -> None:
    """Let go of a streamed body that is not read to its end: asynchronous generators have aclose."""
    close = getattr(body, "aclose", None)
    if close is not None:
        await close()
