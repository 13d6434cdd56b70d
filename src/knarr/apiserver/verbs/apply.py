"""Server-side apply: the applied object merged into the live one by field owners (objects/apply.py)."""

from typing import Final

from knarr.apiserver import authorising, bodies, conversions, managed, presenting, status, strategy, writing
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json
from knarr.apiserver.writing import Written
from knarr.base import errors
from knarr.base.clock import rfc3339
from knarr.base.errors import BadRequest, Cause
from knarr.kinds import schemas, walks
from knarr.objects import apply as applying
from knarr.objects.apply import Applied, Conflicts
from knarr.wire import http

MEDIA_TYPE: Final = "application/apply-patch+yaml"


async def apply(context: RequestContext, subresource: str = "") -> http.Response:
    config = bodies.decoded(context, await bodies.read(context), MEDIA_TYPE)
    return await presenting.written(context, await written(context, config, subresource))


async def written(context: RequestContext, config: Json, subresource: str) -> Written:
    """Apply a configuration of the route's object. Raises what validation says and a Refusal for conflicts."""
    applied = _asked(context, config, subresource)
    try:
        return await _written(context, applied, subresource)
    except Conflicts as conflicts:
        raise _refused(context, conflicts) from conflicts


async def _written(context: RequestContext, applied: Applied, subresource: str) -> Written:
    schema = schemas.of(context.resource.stored)
    if context.server.store.get(context.key) is None and not subresource:
        uid = applied.config["metadata"].get("uid")
        if uid:
            text = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise errors.Conflict(text)
        authorising.authorise_create(context)
        try:
            return await writing.create(context, applying.merged(schema, None, applied))
        except errors.AlreadyExists:
            pass  # somebody was faster: apply to what they made
    # The merge has decoded what it made.
    return await writing.change(
        context, lambda live: _merged(context, live, applied), subresource, completed=strategy.filled
    )


def _merged(context: RequestContext, live: Json, applied: Applied) -> Json:
    new = applying.merged(schemas.of(context.resource.stored), live, applied)
    version, metadata = applied.config["metadata"].get("resourceVersion"), new["metadata"]  # made by the merge
    if version:
        metadata["resourceVersion"] = version
    else:
        metadata.pop("resourceVersion", None)
    return new


def _asked(context: RequestContext, config: Json, subresource: str) -> Applied:
    """The request as a value. Raises BadRequest and 422 Refusals."""
    if not context.query.get("fieldManager"):
        cause = Cause("fieldManager", "FieldValueRequired", "Required value: is required for apply patch")
        raise status.invalid("PatchOptions", "meta.k8s.io", "", [cause])
    version = config.get("apiVersion") or ""
    if version != context.resource.kind.api_version:
        text = f"Incorrect version specified in apply patch. Specified patch version: {version}, "
        raise BadRequest(f"{text}expected: {context.resource.kind.api_version}")
    config = writing.checked_kind(context, config)
    metadata = config["metadata"]
    if metadata.get("managedFields"):
        raise BadRequest("metadata.managedFields must be nil")
    metadata.setdefault("name", context.route.name)
    writing.check_name(context, config)
    bodies.report(context, walks.unknown_fields(context.resource.kind, config))
    if context.resource.is_converted:
        walks.decoded(context.resource.kind, config)  # a value of a wrong type is told of in the version that was sent
        config = conversions.stored(context.resource, config)
    if "status" in context.resource.kind.subresources and not subresource:
        config = {key: value for key, value in config.items() if key != "status"}
    now = rfc3339(context.server.clock.now())
    return Applied(config, managed.writer(context), context.is_asked("force"), now)


def _refused(context: RequestContext, conflicts: Conflicts) -> status.Refusal:
    resource = context.resource
    details = {"name": context.route.name, "group": resource.group, "kind": resource.plural,
               "causes": status.causes(conflicts.causes)}  # fmt: skip
    return status.Refusal(409, "Conflict", str(conflicts), details={k: v for k, v in details.items() if v})
