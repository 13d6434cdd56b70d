"""PATCH: JSON patch, merge patch, strategic merge patch; apply patches go to apply.py."""

from typing import Any, Final

from knarr.apiserver import bodies, presenting, strategy, writing
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json
from knarr.apiserver.verbs import apply
from knarr.wire import http

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
APPLY: Final = "application/apply-patch+yaml"
SUPPORTED: Final = ", ".join((JSON_PATCH, MERGE_PATCH, STRATEGIC, APPLY))


async def patch(context: RequestContext, subresource: str = "") -> http.Response:
    media = bodies.media_type(context)
    if media in (APPLY, "application/apply-patch+cbor"):
        return await apply.apply(context, subresource)
    if media not in (JSON_PATCH, MERGE_PATCH, STRATEGIC):
        raise bodies.unsupported(media, SUPPORTED)
    value = bodies.json_value(context, await bodies.read(context))
    written = await writing.change(context, lambda old: patched(context, media, old, value), subresource)
    return await presenting.written(context, written)


def patched(context: RequestContext, media: str, old: Json, value: Any) -> Json:
    """The live object with the patch put in."""
    from knarr.objects import patches

    if media == JSON_PATCH:
        new = patches.json_patch(old, value)
    elif media == MERGE_PATCH:
        new = patches.merge_patch(old, value)
    else:
        new = patches.strategic_merge_patch(context.resource.kind, old, value)
    new = writing.checked_kind(context, new)
    bodies.report(context, strategy.unknown_fields(context.resource, new))
    return new
