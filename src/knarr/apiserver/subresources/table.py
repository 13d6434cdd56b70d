"""The table of subresources: which function answers (resource, subresource); "*" holds for every resource."""

import importlib
from collections.abc import Awaitable, Callable
from typing import Final

from knarr.apiserver.context import RequestContext
from knarr.base.errors import Unimplemented
from knarr.wire import http

Answer = Callable[[RequestContext], Awaitable[http.Response]]

# (plural, subresource) → module below this package and its function; loaded at the first use.
ROWS: Final[dict[tuple[str, str], tuple[str, str]]] = {
    ("*", "status"): ("partial", "answer"),
    ("*", "scale"): ("scale", "answer"),
    ("namespaces", "finalize"): ("partial", "answer"),
    ("certificatesigningrequests", "approval"): ("partial", "answer"),
    ("pods", "resize"): ("partial", "answer"),
    ("pods", "ephemeralcontainers"): ("partial", "answer"),
    ("pods", "binding"): ("binding", "answer"),
    ("pods", "eviction"): ("eviction", "answer"),
    ("serviceaccounts", "token"): ("token", "answer"),
    ("pods", "log"): ("log", "log"),
    ("pods", "exec"): ("streams", "exec"),
    ("pods", "attach"): ("streams", "attach"),
    ("pods", "portforward"): ("streams", "portforward"),
    ("pods", "proxy"): ("proxy", "pod"),
    ("services", "proxy"): ("proxy", "service"),
    ("nodes", "proxy"): ("proxy", "node"),
}


async def answer(context: RequestContext) -> http.Response:
    route, resource = context.route, context.resource
    row = ROWS.get((resource.plural, route.subresource)) or ROWS.get(("*", route.subresource))
    if row is None:
        raise Unimplemented(f"{resource.plural}/{route.subresource} is not offered yet")
    try:
        module = importlib.import_module(f"knarr.apiserver.subresources.{row[0]}")
    except ModuleNotFoundError as error:
        raise Unimplemented(f"{resource.plural}/{route.subresource} is not offered yet") from error
    function: Answer = getattr(module, row[1])
    return await function(context)
