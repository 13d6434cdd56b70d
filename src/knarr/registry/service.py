"""The registry: OCI distribution 1.1 over the node's own content store and names, for clients on this machine.

`Registry.handler` takes requests from wire/http_server.py. It decides who may ask (only names of the loopback in Host,
no pages of other origins) and finds the route; the routes are rows below, their work is in the modules beside.
Clients: docker, podman, skopeo, buildah, oras. What is pushed has a name on the node at once and can run.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

from knarr.base import logs
from knarr.base.errors import Forbidden, KnarrError
from knarr.images.content import ContentStore
from knarr.images.names import Names
from knarr.registry import blobs, errors, listings, manifests, uploads
from knarr.registry.access import TOKEN_PATH, Access
from knarr.registry.call import Call, State
from knarr.registry.errors import Failure
from knarr.registry.grants import ANYBODY, Scope
from knarr.registry.pull_through import PullThrough
from knarr.registry.quota import Quota
from knarr.wire.http import Request, Response

_log = logs.log("registry")
_HOST = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?")
_PORT = re.compile(r":[0-9]{1,5}\Z")
_SAFE = ("GET", "HEAD")
Route = Callable[[State, Call], Awaitable[Response]]

_TABLE: tuple[tuple[str, dict[str, Route]], ...] = (
    (r"/v2/?", {"GET": listings.root, "HEAD": listings.root}),
    (r"/v2/_catalog", {"GET": listings.catalog}),
    (r"/v2/(?P<name>.+)/tags/list", {"GET": listings.tags}),
    (r"/v2/(?P<name>.+)/referrers/(?P<argument>[^/]+)", {"GET": listings.referrers}),
    (
        r"/v2/(?P<name>.+)/manifests/(?P<argument>[^/]+)",
        {"GET": manifests.get, "HEAD": manifests.get, "PUT": manifests.put, "DELETE": manifests.delete},
    ),
    (r"/v2/(?P<name>.+)/blobs/uploads/?", {"POST": uploads.start}),
    (
        r"/v2/(?P<name>.+)/blobs/uploads/(?P<argument>[^/]+)",
        {"GET": uploads.status, "PATCH": uploads.append, "PUT": uploads.finish, "DELETE": uploads.cancel},
    ),
    (
        r"/v2/(?P<name>.+)/blobs/(?P<argument>[^/]+)",
        {"GET": blobs.get, "HEAD": blobs.get, "DELETE": blobs.delete},
    ),
)
"""Path → what each method does. `name` may hold slashes; `argument` is a tag, a digest or an upload's id."""
_PUSHING = (manifests.put, uploads.start, uploads.status, uploads.append, uploads.finish, uploads.cancel)
_ROUTES = tuple((re.compile(pattern), methods) for pattern, methods in _TABLE)


@dataclass(frozen=True, slots=True)
class Gates:
    """What stands around a registry: who may come in, under which other host names, how much it may hold, and the
    registries that it stands for."""

    access: Access | None = None
    hosts: frozenset[str] = frozenset()
    is_tls: bool = False
    quota: Quota = Quota()
    upstream: PullThrough | None = None


class Registry:
    """Serves one content store. `domain` is what stands before the repositories in its names: `localhost:PORT`."""

    def __init__(
        self, content: ContentStore, names: Names, domain: str = "localhost:5000", gates: Gates | None = None
    ) -> None:
        self._gates = gates or Gates()
        self._state = State(content, names, domain, quota=self._gates.quota, upstream=self._gates.upstream)

    async def handler(self, request: Request) -> Response:
        try:
            response = await self._answer(request)
        except KnarrError as error:
            response = errors.response(error)
            if response.status >= 500:
                _log.warning("answered %s", logs.fields(status=response.status, path=request.path, reason=str(error)))
        response.headers = (("docker-distribution-api-version", "registry/2.0"), *response.headers)
        return response

    def close(self) -> None:
        """Drop the uploads that are not finished."""
        self._state.sessions.close_all()

    async def end(self) -> None:
        """Like `close`, and downloads from upstream, too."""
        self.close()
        if self._gates.upstream is not None:
            await self._gates.upstream.close()

    async def _answer(self, request: Request) -> Response:
        self._check_origin(request)
        path = unquote(request.path) if "%" in request.path else request.path
        for pattern, methods in _ROUTES:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            route = methods.get(request.method)
            if route is None:
                allowed = (("allow", ", ".join(methods)),)
                raise Failure("UNSUPPORTED", f"{request.method} is not possible here", headers=allowed)
            parts = match.groupdict()
            call = Call(request, parts.get("name", ""), parts.get("argument", ""))
            if self._gates.access is not None:
                wanted = _scope(request.method, route, call)
                call = replace(call, grants=await self._gates.access.grants(request, wanted, self._base_url(request)))
            return await route(self._state, call)
        if path == TOKEN_PATH and self._gates.access is not None and request.method in ("GET", "POST"):
            return await self._gates.access.token(request)
        raise Failure("UNSUPPORTED", f"no such path: {path[:200]!r}", status=404)

    def _check_origin(self, request: Request) -> None:
        """Refuse names that a rebound DNS entry would bring (SEC-04), and pages of other origins (SEC-05)."""
        host = request.header("host")
        if host and not self._is_own(host):
            raise Forbidden(f"host {host[:120]!r} is not this registry")
        origin = request.header("origin")
        if origin and not self._is_own(urlsplit(origin).netloc if "//" in origin else origin):
            raise Forbidden(f"requests of pages from {origin[:120]!r} are not taken")
        if request.method not in _SAFE and request.header("sec-fetch-site", "none") not in ("none", "same-origin"):
            raise Forbidden("requests of pages from other sites are not taken")

    def _is_own(self, host: str) -> bool:
        host = host.lower()
        return _HOST.fullmatch(host) is not None or _PORT.sub("", host) in self._gates.hosts

    def _base_url(self, request: Request) -> str:
        return f"{'https' if self._gates.is_tls else 'http'}://{request.header('host')}"


def _scope(method: str, route: Route, call: Call) -> Scope:
    """What a caller must be allowed for a request. Never told by the path alone: a repository may be called
    `blobs/uploads`."""
    if route is listings.catalog:
        return Scope("registry", "catalog", frozenset("*"))
    if not call.name:
        return ANYBODY
    if route in _PUSHING:
        return Scope("repository", call.name, frozenset({"pull", "push"}))
    return Scope("repository", call.name, frozenset({"delete" if method == "DELETE" else "pull"}))
