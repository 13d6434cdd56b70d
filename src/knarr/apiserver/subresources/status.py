"""The status subresource: reads the whole object, writes only its status."""

from knarr.apiserver.context import RequestContext
from knarr.apiserver.status import method_not_allowed
from knarr.apiserver.verbs import get, patch, update
from knarr.wire import http


async def answer(context: RequestContext) -> http.Response:
    match context.route.verb:
        case "get":
            return await get.get(context)
        case "update":
            return await update.update(context, "status")
        case "patch":
            return await patch.patch(context, "status")
        case _:
            raise method_not_allowed()
