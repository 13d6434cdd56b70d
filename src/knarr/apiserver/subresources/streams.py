"""pods/exec, pods/attach and pods/portforward: the client's upgrade, tunnelled to the kubelet of the pod's node.

WebSocket and SPDY pass as they are; the criserver at the end speaks both. Who may is decided before, as `create`
whatever the method is (SEC-13).
"""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qs, quote, urlencode

from knarr.apiserver import origins
from knarr.apiserver.context import RequestContext
from knarr.apiserver.status import Refusal, method_not_allowed
from knarr.apiserver.subresources import connecting
from knarr.base.errors import BadRequest, DeadlineExceeded, Unavailable
from knarr.wire import http, parameters, tunnel, upgrades

_FLAGS: Final = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
"""The API's parameter → the kubelet's."""


async def exec(context: RequestContext) -> http.Response:
    """Run a command in a container of the pod."""
    query = parse_qs(context.request.query, keep_blank_values=True)
    if not query.get("command"):
        raise BadRequest("you must specify a command")
    return await _to_container(context, "exec", [*flags(query), *(("command", word) for word in query["command"])])


async def attach(context: RequestContext) -> http.Response:
    """Join the streams of a container that runs."""
    query = parse_qs(context.request.query, keep_blank_values=True)
    return await _to_container(context, "attach", flags(query))


async def portforward(context: RequestContext) -> http.Response:
    """Carry connections to ports of the pod."""
    _check(context)
    ports = [value for name, values in parse_qs(context.request.query).items() if name == "ports" for value in values]
    path = f"/portForward/{quote(context.route.namespace)}/{quote(context.route.name)}"
    return await _tunnel(context, path, [("ports", ",".join(ports))] if ports else [])


def flags(query: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """The kubelet's parameters for the streams asked for. Raises BadRequest when there are none. Pure."""
    asked = {name for name in _FLAGS if name in query and parameters.is_true(query[name][0])}
    if not asked - {"tty"}:
        raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    return [(word, "1") for name, word in _FLAGS.items() if name in asked]


async def _to_container(context: RequestContext, verb: str, query: list[tuple[str, str]]) -> http.Response:
    _check(context)
    route = context.route
    container = connecting.container_of(connecting.pod_of(context), context.query.get("container", ""))
    path = f"/{verb}/{quote(route.namespace)}/{quote(route.name)}/{quote(container)}"
    return await _tunnel(context, path, query)


async def _tunnel(context: RequestContext, path: str, query: list[tuple[str, str]]) -> http.Response:
    target = connecting.kubelet_of(context, connecting.pod_of(context))
    if target is None:
        raise BadRequest(f"pod {context.route.name} does not have a host assigned")
    client = context.server.kubelets.client
    try:
        return await tunnel.tunnel(client, target, context.request, path, urlencode(query))
    except (Unavailable, DeadlineExceeded) as error:
        raise connecting.dialing(error) from error


def _check(context: RequestContext) -> None:
    request = context.request
    if request.method not in ("GET", "POST"):
        raise method_not_allowed()
    if not (upgrades.is_websocket(request) or upgrades.is_spdy(request)):
        raise Refusal(400, "BadRequest", "Upgrade request required")
    origins.check(request)
