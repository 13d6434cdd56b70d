"""PATCH: JSON patch, merge patch, strategic merge patch; apply patches go to apply.py."""

from typing import Any, Final

from knarr.apiserver import bodies, conversions, presenting, strategy, writing
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json
from knarr.apiserver.verbs import apply
from knarr.kinds import schemas
from knarr.objects import patches
from knarr.wire import http

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
SUPPORTED: Final = ", ".join((JSON_PATCH, MERGE_PATCH, STRATEGIC, apply.MEDIA_TYPE))


async def patch(context: RequestContext, subresource: str = "") -> http.Response:
    media = bodies.media_type(context)
    if media == apply.MEDIA_TYPE:
        return await apply.apply(context, subresource)
    check_media(media)
    value = bodies.json_value(context, await bodies.read(context))
    written = await writing.change(context, lambda old: _patched(context, media, old, value), subresource)
    return await presenting.written(context, written)


def check_media(media: str) -> None:
    """Raises a 415 Refusal for a patch type that is none."""
    if media not in (JSON_PATCH, MERGE_PATCH, STRATEGIC):
        raise bodies.unsupported(media, SUPPORTED)


def _patched(context: RequestContext, media: str, old: Json, value: Any) -> Json:
    """The live object with the patch put in, checked as a body would be."""
    resource = context.resource
    served = conversions.served(resource, old)
    new = writing.checked_kind(context, patched_value(media, resource.kind.type_name, served, value))
    bodies.report(context, strategy.unknown_fields(resource, new))
    return strategy.stored(resource, new)


def patched_value(media: str, type_name: str, target: Json, value: Any) -> Json:
    """A value of a type with the patch put in. Raises Invalid and BadRequest."""
    if media == JSON_PATCH:
        return patches.json_patch(target, value)
    if media == MERGE_PATCH:
        return patches.merge_patch(target, value)
    return patches.strategic_merge_patch(schemas.types().root(type_name), target, value)
