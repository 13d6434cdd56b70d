"""GET of a collection."""

from knarr.apiserver import presenting, reading
from knarr.apiserver.context import RequestContext
from knarr.wire import http


async def list_(context: RequestContext) -> http.Response:
    return await presenting.many(context, reading.listing(context))
