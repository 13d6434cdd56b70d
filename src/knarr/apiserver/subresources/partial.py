"""Subresources that are the object itself with one part writable: status, finalize, approval, resize, …"""

from knarr.apiserver import status
from knarr.apiserver.context import RequestContext
from knarr.apiserver.verbs import get, patch, update
from knarr.wire import http


async def answer(context: RequestContext) -> http.Response:
    """GET reads the whole object; PUT and PATCH write the part (strategy.py says which)."""
    subresource = context.route.subresource
    match context.route.verb:
        case "get":
            return await get.get(context)
        case "update":
            return await update.update(context, subresource)
        case "patch":
            return await patch.patch(context, subresource)
        case _:
            raise status.method_not_allowed()
