"""pods/proxy, services/proxy and nodes/proxy: an HTTP request passed on, its answer passed back, upgrades included.

Names are `[SCHEME:]NAME[:PORT]`. The caller's credentials never travel on; redirects are not followed; loopback and
link-local addresses are refused (SEC-16, SEC-17). Links in what comes back are changed by links.py.
"""

import ipaddress
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from knarr.apiserver import status
from knarr.apiserver.context import Json, RequestContext
from knarr.apiserver.subresources import connecting, links
from knarr.base.errors import BadRequest, DeadlineExceeded, Unavailable
from knarr.wire import http, tls, tunnel, upgrades
from knarr.wire.http_client import ClientResponse, Target

HOP_BY_HOP: Final = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
        "upgrade", "proxy-connection", "expect",
    }
)  # fmt: skip
PRIVATE: Final = frozenset({"authorization", "cookie", "host", "x-forwarded-for", "x-forwarded-uri", "forwarded"})
# What would let a page of another origin read an answer of the API server's.
SHARING: Final = frozenset(
    f"access-control-{name}"
    for name in ("allow-credentials", "allow-headers", "allow-methods", "allow-origin", "expose-headers", "max-age")
)
SERVICE_LABEL: Final = "kubernetes.io/service-name"


@dataclass(frozen=True, slots=True)
class Name:
    """`https:web:8443` → scheme, name, port (a number or a name, "" for the default)."""

    scheme: str
    name: str
    port: str


def parse(text: str) -> Name:
    """Raises BadRequest for what is no such name. Pure."""
    parts = text.split(":")
    if len(parts) == 3 and parts[0] in ("http", "https"):
        return Name(parts[0], parts[1], parts[2])
    if len(parts) == 2:
        return Name("http", parts[0], parts[1])
    if len(parts) == 1:
        return Name("http", parts[0], "")
    raise BadRequest(f"invalid name {text!r}")


async def pod(context: RequestContext) -> http.Response:
    """To a port of the pod: the named one, or the first that a container declares."""
    name = parse(context.route.name)
    found = connecting.stored(context, "pods", context.route.namespace, name.name)
    address = found.get("status", {}).get("podIP", "")
    if not address:
        raise Unavailable(f'pod "{name.name}" has no address yet')
    return await _pass(context, Target(address, pod_port(found, name.port), _tls(name.scheme)))


async def service(context: RequestContext) -> http.Response:
    """To a ready endpoint of the service, picked at random."""
    name = parse(context.route.name)
    namespace = context.route.namespace
    found = connecting.stored(context, "services", namespace, name.name)
    backends = list(service_backends(found, _slices(context, namespace, name.name), name.port))
    if not backends:
        raise status.Refusal(503, "ServiceUnavailable", f'no endpoints available for service "{context.route.name}"')
    address, port = random.choice(backends)
    return await _pass(context, Target(address, port, _tls(name.scheme)))


async def node(context: RequestContext) -> http.Response:
    """To the kubelet of the node."""
    name = parse(context.route.name)
    target = connecting.node_target(context, name.name)
    if name.port not in ("", str(target.port)):
        raise BadRequest(f"nodes/proxy reaches the kubelet's port {target.port} only")
    return await _pass(context, target, is_kubelet=True)


def pod_port(pod: Json, wanted: str) -> int:
    """The number of a pod's port by number or name; the first declared one, or 80, for "". Pure."""
    declared = [port for container in pod["spec"].get("containers", ()) for port in container.get("ports", ())]
    if wanted == "":
        return int(declared[0]["containerPort"]) if declared else 80
    for port in declared:
        if port.get("name") == wanted:
            return int(port["containerPort"])
    return _number(wanted)


def service_backends(service: Json, slices: list[Json], wanted: str) -> Iterator[tuple[str, int]]:
    """(address, port) of the ready endpoints for a service's port, by number or name. Pure."""
    ports = service.get("spec", {}).get("ports", ())
    chosen = [
        port
        for port in ports
        if wanted in (port.get("name", ""), str(port["port"])) or (wanted == "" and len(ports) == 1)
    ]
    names = {port.get("name", "") for port in chosen}
    for entry in slices:
        numbers = [port["port"] for port in entry.get("ports") or () if (port.get("name") or "") in names]
        for endpoint in entry.get("endpoints") or ():
            if endpoint.get("conditions", {}).get("ready", True):
                yield from ((endpoint["addresses"][0], number) for number in numbers)


def _slices(context: RequestContext, namespace: str, name: str) -> list[Json]:
    resource = context.server.resources.by_path["discovery.k8s.io", "v1", "endpointslices"]
    listed = context.server.store.list(resource.list_prefix(namespace))
    values: list[Json] = [msgspec.json.decode(entry.value) for entry in listed.entries]
    return [value for value in values if value["metadata"].get("labels", {}).get(SERVICE_LABEL) == name]


async def _pass(context: RequestContext, target: Target, *, is_kubelet: bool = False) -> http.Response:
    if not is_kubelet:
        check_address(target.host)
    request = context.request
    path = f"/{context.route.suffix}"
    if request.path.endswith("/") and not path.endswith("/"):
        path += "/"
    client = context.server.kubelets.client
    try:
        if upgrades.is_websocket(request) or upgrades.is_spdy(request):
            return await tunnel.tunnel(client, target, request, path, request.query)
        if not context.route.suffix and not request.path.endswith("/") and request.method in ("GET", "HEAD"):
            return _to_root(request)
        headers = (*_passed_on(request), ("x-forwarded-uri", request.path))
        response = await client.request(
            target, http.Request(request.method, path, request.query, headers, request.body)
        )
    except (Unavailable, DeadlineExceeded) as error:
        raise connecting.dialing(error) from error
    return _passed_back(request, response, way(request, path, target))


def way(request: http.Request, path: str, target: Target) -> links.Way:
    """The way that a request for the target's `path` took. Pure."""
    return links.Way(request.path.removesuffix(path), target.authority, request.header("host"))


def _to_root(request: http.Request) -> http.Response:
    """Links of the page there are relative to a path that ends in a slash, so that is where clients are sent."""
    query = f"?{request.query}" if request.query else ""
    return http.Response(301, (("location", f"{request.path}/{query}"),), b"")


def _passed_on(request: http.Request) -> http.Headers:
    """The fields of the request that whom it goes to may know."""
    return tuple(
        (name, value)
        for name, value in request.headers
        if name not in HOP_BY_HOP and name not in PRIVATE and not name.startswith(("impersonate-", "x-remote-"))
    )


def _passed_back(request: http.Request, response: ClientResponse, way: links.Way) -> http.Response:
    """The answer, its links leading through the proxy."""
    kept = [(name, value) for name, value in response.headers if name not in HOP_BY_HOP and name not in SHARING]
    if redirect := response.header("location"):
        kept = [(name, links.through(redirect, way) if name == "location" else value) for name, value in kept]
    encoding = response.header("content-encoding")
    if not redirect and request.method != "HEAD" and links.is_page(response.header("content-type"), encoding):
        kept = [(name, value) for name, value in kept if name not in ("content-length", "content-encoding")]
        pieces = links.pages(response.chunks(), encoding, way)
        return http.Response(response.status, tuple(kept), http.Followed(pieces, response.close))
    return http.Response(response.status, tuple(kept), response.body())


def check_address(text: str) -> None:
    """Raises a 400 Refusal for an address that a pod cannot have. Pure."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:  # an EndpointSlice may hold names, which could lead anywhere
        raise status.Refusal(400, "BadRequest", "address not allowed") from error
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified:
        raise status.Refusal(400, "BadRequest", "address not allowed")


def _tls(scheme: str) -> Any:
    """HTTPS to a pod is not verified: nothing says what its certificate should be."""
    return tls.client_context(verifies=False) if scheme == "https" else None


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise BadRequest(f"port {text!r} is neither a number nor a declared name")
    return int(text)
