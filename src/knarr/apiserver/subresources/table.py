"""The table of subresources: which function answers (resource, subresource); rows with "*" hold for every resource."""

from collections.abc import Awaitable, Callable
from typing import Final

from knarr.apiserver.context import RequestContext
from knarr.apiserver.subresources import status as status_subresource
from knarr.base.errors import Unimplemented
from knarr.wire import http

Answer = Callable[[RequestContext], Awaitable[http.Response]]

ROWS: Final[dict[tuple[str, str], Answer]] = {
    ("*", "status"): status_subresource.answer,
}


async def answer(context: RequestContext) -> http.Response:
    route, resource = context.route, context.resource
    row = ROWS.get((resource.plural, route.subresource)) or ROWS.get(("*", route.subresource))
    if row is None:
        raise Unimplemented(f"{resource.plural}/{route.subresource} is not offered yet")
    return await row(context)
