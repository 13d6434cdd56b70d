"""Managed fields: who set what, kept with every write for server-side apply. The walks are in objects/managed.py.

An apply has made its own list (verbs/apply.py); every other write is tracked under its field manager.
"""

from typing import Final

from knarr.apiserver import bodies, options
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json
from knarr.base.clock import rfc3339
from knarr.base.errors import TooLarge
from knarr.kinds import schemas
from knarr.objects import managed
from knarr.objects.managed import Writer

APPLY: Final = "application/apply-patch+yaml"


def created(context: RequestContext, obj: Json) -> Json:
    """A new object with the fields that its creator set."""
    given = obj.get("stringData")
    if isinstance(given, dict):  # a Secret's, which becomes data: owned as what it becomes
        seen = {**obj, "data": {**(obj.get("data") or {}), **given}}
        del seen["stringData"]
        return {**obj, "metadata": _tracked(context, seen, None)["metadata"]}
    return _tracked(context, obj, None)


def updated(context: RequestContext, new: Json, old: Json) -> Json:
    """A changed object with what its writer changed."""
    return _tracked(context, new, old)


def fitting(context: RequestContext, obj: Json, bytes_max: int) -> bytes:
    """The stored bytes of an object. One that grew too large by the list of its owners is stored without it, as
    upstream, but after an apply, which lives by it. Raises TooLarge."""
    value = context.resource.encode(obj)
    if len(value) > bytes_max and not _is_apply(context):
        value = context.resource.encode(managed.without_managed(obj))
    if len(value) > bytes_max:
        raise TooLarge(f"the object is {len(value)} bytes; the limit is {bytes_max}")
    return value


def writer(context: RequestContext) -> Writer:
    return Writer(
        context.field_manager[: options.MANAGER_MAX], context.resource.kind.api_version, context.route.subresource
    )


def _tracked(context: RequestContext, new: Json, old: Json | None) -> Json:
    if _is_apply(context):
        return new
    if context.route.verb in ("delete", "deletecollection"):
        return new
    now = rfc3339(context.server.clock.now())
    return managed.tracked(schemas.of(context.resource.stored), new, old, writer(context), now)


def _is_apply(context: RequestContext) -> bool:
    return context.route.verb == "patch" and bodies.media_type(context) == APPLY
