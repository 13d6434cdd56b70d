"""PATCH: JSON patch, merge patch, strategic merge patch; apply patches go to apply.py."""

from collections.abc import Awaitable
from typing import Any, Final

import msgspec

from knarr.apiserver import bodies, conversions, presenting, status, strategy, writing
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json
from knarr.apiserver.verbs import apply
from knarr.base.errors import Cause
from knarr.kinds import schemas
from knarr.objects import go_words, managed, patches
from knarr.objects.decoding import WrongType
from knarr.wire import http

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC: Final = "application/strategic-merge-patch+json"
SHOWN_MAX: Final = 1024
SUPPORTED: Final = ", ".join((JSON_PATCH, MERGE_PATCH, STRATEGIC, apply.MEDIA_TYPE))


def patch(context: RequestContext, subresource: str = "") -> Awaitable[http.Response]:
    media = bodies.media_type(context)
    return apply.apply(context, subresource) if media == apply.MEDIA_TYPE else _patch(context, media, subresource)


async def _patch(context: RequestContext, media: str, subresource: str) -> http.Response:
    check_media(context, media)
    value = bodies.json_value(context, await bodies.read(context))
    made: Json = {}

    def changed(old: Json) -> Json:
        nonlocal made
        made = _patched(context, media, old, value)
        return made

    try:
        written = await writing.change(context, changed, subresource)
    except WrongType as error:
        raise undecodable(media, value, made, error) from error
    return await presenting.written(context, written)


def check_media(context: RequestContext, media: str) -> None:
    """Raises a 415 Refusal for a patch type that is none, and 422 for a force that no patch but an apply can use."""
    if media not in (JSON_PATCH, MERGE_PATCH, STRATEGIC):
        raise bodies.unsupported(media, SUPPORTED)
    if "force" in context.query:
        fault = Cause("force", "FieldValueForbidden", "Forbidden: may not be specified for non-apply patch")
        raise status.invalid("PatchOptions", "meta.k8s.io", "", [fault])


def undecodable(media: str, patch: Any, made: Json, error: WrongType) -> status.Refusal:
    """Upstream's answer to a patch that makes an object of a wrong type: a strategic one is shown, and of the others
    what they make."""
    if media == STRATEGIC:
        text, why = go_words.printed(patch), error.not_restored
    else:
        text, why = msgspec.json.encode(made).decode(), str(error)
    shown = text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "…"
    fault = Cause("patch", "FieldValueInvalid", f"Invalid value: {msgspec.json.encode(shown).decode()}: {why}")
    return status.invalid("", "", "", [fault])


def _patched(context: RequestContext, media: str, old: Json, value: Any) -> Json:
    """The live object with the patch put in, checked as a body would be."""
    resource = context.resource
    served = conversions.served(resource, old)
    new = writing.checked_kind(context, patched_value(media, resource.kind.type_name, served, value))
    writing.check_name(context, new)
    new = managed.without_unchanged(new, served)
    bodies.report(context, strategy.unknown_fields(resource, new))
    return strategy.stored(resource, new)


def patched_value(media: str, type_name: str, target: Json, value: Any) -> Json:
    """A value of a type with the patch put in. Raises Invalid and BadRequest."""
    if media == JSON_PATCH:
        return patches.json_patch(target, value)
    if media == MERGE_PATCH:
        return patches.merge_patch(target, value)
    return patches.strategic_merge_patch(schemas.root(type_name), target, value)
