"""GET of one object: a copy of the stored bytes with the resourceVersion spliced in."""

from knarr.apiserver import answers, presenting, reading, status
from knarr.apiserver.context import RequestContext
from knarr.apiserver.negotiation import JSON, accepted
from knarr.wire import http


async def get(context: RequestContext) -> http.Response:
    form = accepted(context.request.header("accept"))
    resource = context.resource
    entry = context.server.store.get(context.key)
    if entry is None:
        raise status.not_found(resource.qualified, context.route.name)
    if "resourceVersion" in context.query:
        reading.check_not_in_future(context)
    if form is JSON and not resource.is_converted:
        return answers.json_response(resource.splice(entry.value, entry.modified))
    return await presenting.one(context, entry.value, entry.modified)
