"""The scale subresource: any kind with replicas seen as an autoscaling/v1 Scale, by the paths in its row."""

from typing import Any

from knarr.apiserver import answers, bodies, status, writing
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json
from knarr.apiserver.verbs import apply, patch
from knarr.base.errors import BadRequest, Cause
from knarr.objects.decoding import WrongType
from knarr.wire import http

API_VERSION = "autoscaling/v1"
TYPE_NAME = "io.k8s.api.autoscaling.v1.Scale"


async def answer(context: RequestContext) -> http.Response:
    match context.route.verb:
        case "get":
            return _present(context, _live(context))
        case "update":
            scale = _checked(await bodies.object_body(context))
            return await _write(context, lambda old: scale)
        case "patch":
            return await _patch(context)
        case _:
            raise status.method_not_allowed()


def _checked(scale: Json) -> Json:
    if scale.get("kind") not in (None, "Scale") or scale.get("apiVersion") not in (None, API_VERSION):
        raise BadRequest(f"expected a Scale of {API_VERSION}, got {scale.get('apiVersion')} {scale.get('kind')}")
    return bodies.typed(scale, TYPE_NAME)


async def _patch(context: RequestContext) -> http.Response:
    media = bodies.media_type(context)
    if media == apply.MEDIA_TYPE:
        return await _apply(context)
    patch.check_media(context, media)
    value = bodies.json_value(context, await bodies.read(context))
    made: Json = {}

    def changed(old: Json) -> Json:
        nonlocal made
        made = patch.patched_value(media, TYPE_NAME, scale_of(context, old), value)
        return made

    try:
        return await _write(context, changed)
    except WrongType as error:
        raise patch.undecodable(media, value, made, error) from error


async def _apply(context: RequestContext) -> http.Response:
    """Server-side apply: the applier owns the field of the object itself, through this subresource."""
    scale = _checked(bodies.decoded(context, await bodies.read(context), apply.MEDIA_TYPE))
    kind, metadata = context.resource.kind, scale.get("metadata") or {}
    kept = {key: metadata[key] for key in ("name", "namespace", "resourceVersion", "uid") if key in metadata}
    config: Json = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": kept}
    if "replicas" in (scale.get("spec") or {}):
        config["spec"] = {"replicas": _replicas(context, scale)}
    written = await apply.written(context, config, "scale")
    return _present(context, written.resource.decode(written.value, written.revision))


def _live(context: RequestContext) -> Json:
    entry = context.server.store.get(context.key)
    if entry is None:
        raise status.not_found(context.resource.qualified, context.route.name)
    return context.resource.decode_entry(entry)


async def _write(context: RequestContext, wanted: writing.Changed) -> http.Response:
    written = await writing.change(context, lambda old: scaled(context, old, wanted(old)), "scale")
    return _present(context, written.resource.decode(written.value, written.revision))


def _present(context: RequestContext, obj: Json) -> http.Response:
    return answers.json_response(answers.encoded(scale_of(context, obj)))


def scale_of(context: RequestContext, obj: Json) -> Json:
    """The object as a Scale."""
    facts = context.resource.kind.subresources["scale"].facts
    metadata = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    current: Json = {"replicas": _at(obj, facts["statusReplicas"]) or 0}
    selector = _at(obj, facts["selector"])
    if isinstance(selector, dict):
        is_plain = context.resource.stored.kind == "ReplicationController"
        current["selector"] = selector_text({"matchLabels": selector} if is_plain else selector)
    return {
        "kind": "Scale",
        "apiVersion": API_VERSION,
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {"replicas": _at(obj, facts["specReplicas"]) or 0},
        "status": current,
    }


def scaled(context: RequestContext, obj: Json, scale: Json) -> Json:
    """The object with the Scale's replicas."""
    scale = bodies.typed(scale, TYPE_NAME)
    replicas = _replicas(context, scale)
    metadata = dict(obj["metadata"])
    asked = (scale.get("metadata") or {}).get("resourceVersion")
    if asked and asked != writing.NO_VERSION:
        metadata["resourceVersion"] = asked
    else:
        metadata.pop("resourceVersion", None)
    return {**obj, "metadata": metadata, "spec": {**obj["spec"], "replicas": replicas}}


def _replicas(context: RequestContext, scale: Json) -> int:
    """The wanted number. Raises BadRequest for another object's Scale and a 422 Refusal below 0."""
    replicas: int = (scale.get("spec") or {}).get("replicas", 0)
    name = context.route.name
    if (scale.get("metadata") or {}).get("name", name) != name:
        raise BadRequest(f"the name of the object does not match the name on the URL ({name})")
    if replicas < 0:
        text = f"Invalid value: {replicas}: must be greater than or equal to 0"
        raise status.invalid("Scale", "autoscaling", name, [Cause("spec.replicas", "FieldValueInvalid", text)])
    return replicas


def selector_text(selector: Json) -> str:
    """A LabelSelector in the form of a query, as status.selector has it."""
    parts = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    for expression in selector.get("matchExpressions") or ():
        key, values = expression["key"], ",".join(sorted(expression.get("values") or ()))
        match expression["operator"]:
            case "In":
                parts.append(f"{key} in ({values})")
            case "NotIn":
                parts.append(f"{key} notin ({values})")
            case "Exists":
                parts.append(key)
            case _:
                parts.append(f"!{key}")
    return ",".join(parts)


def _at(obj: Any, path: str) -> Any:
    for part in path.strip(".").split("."):
        obj = obj.get(part) if isinstance(obj, dict) else None
    return obj
