"""DELETE of one object."""

from knarr.apiserver import answers, bodies, deletion, presenting, status
from knarr.apiserver.context import RequestContext
from knarr.wire import http


async def delete(context: RequestContext) -> http.Response:
    options = deletion.options(context, await bodies.optional_body(context))
    resource = context.resource
    removed = await deletion.delete(context, options)
    if not removed.is_gone or resource.plural in deletion.ANSWERS_OBJECT:
        response = await presenting.written(context, removed)
        if options.is_cascading and not removed.is_gone:
            response.status = 202  # upstream tells only who asks in this old way that it is not done yet
        return response
    details = {"name": context.route.name, "group": resource.group, "kind": resource.plural}
    details["uid"] = resource.decode(removed.value, removed.revision)["metadata"].get("uid", "")
    return answers.json_response(status.success({key: value for key, value in details.items() if value}))
