"""DELETE of a collection: every object that the selectors choose, one by one."""

import dataclasses

from knarr.apiserver import bodies, deletion, presenting, reading
from knarr.apiserver.context import RequestContext
from knarr.base import errors
from knarr.wire import http


async def deletecollection(context: RequestContext) -> http.Response:
    options = deletion.options(context, await bodies.optional_body(context))
    listed = reading.listing(context)
    for entry in listed.entries:
        name = entry.key.rpartition("/")[2]
        namespace = entry.key.split("/")[-2] if context.resource.kind.is_namespaced else name
        one = dataclasses.replace(
            context, route=dataclasses.replace(context.route, verb="delete", namespace=namespace, name=name)
        )
        try:
            await deletion.delete(one, options)
        except errors.NotFound:
            continue
    return await presenting.many(context, listed)
