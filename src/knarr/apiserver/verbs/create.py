"""POST of an object to its collection."""

from knarr.apiserver import bodies, presenting, strategy, writing
from knarr.apiserver.context import RequestContext
from knarr.wire import http


async def create(context: RequestContext) -> http.Response:
    obj = writing.checked_kind(context, await bodies.object_body(context))
    bodies.report(context, strategy.unknown_fields(context.resource, obj))
    written = await writing.create(context, obj)
    return await presenting.written(context, written)
