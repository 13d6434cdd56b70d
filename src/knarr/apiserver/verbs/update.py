"""PUT of a whole object, also to status and other subresources of the same kind; creates where the kind allows it."""

from knarr.apiserver import authorising, bodies, presenting, status, strategy, writing
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json
from knarr.objects import managed
from knarr.wire import http


async def update(context: RequestContext, subresource: str = "") -> http.Response:
    obj = writing.checked_kind(context, await bodies.object_body(context))
    bodies.report(context, strategy.unknown_fields(context.resource, obj))
    return await presenting.written(context, await replaced(context, obj, subresource))


async def replaced(context: RequestContext, obj: Json, subresource: str) -> writing.Written:
    """Put the object in the place of the live one."""
    writing.check_name(context, obj)
    resource, name = context.resource, context.route.name
    facts = resource.kind.facts
    if not subresource and context.server.store.get(context.key) is None:
        if not facts.get("createOnUpdate") or obj["metadata"].get("resourceVersion"):
            raise status.not_found(resource.qualified, name)
        authorising.authorise_create(context)
        return await writing.create(context, obj)
    if facts.get("unconditionalUpdate") is False and not obj["metadata"].get("resourceVersion"):
        raise status.invalid(resource.kind.kind, resource.group, name, [writing.VERSION_REQUIRED])
    wanted = strategy.stored(resource, obj)
    return await writing.change(context, lambda old: managed.without_unchanged(wanted, old), subresource)
