"""The scale subresource: any kind with replicas seen as an autoscaling/v1 Scale, by the paths in its row."""

from typing import Any

from knarr.apiserver import answers, bodies, status, writing
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json
from knarr.apiserver.verbs import patch
from knarr.base.errors import BadRequest, Cause
from knarr.wire import http

API_VERSION = "autoscaling/v1"
TYPE_NAME = "io.k8s.api.autoscaling.v1.Scale"


async def answer(context: RequestContext) -> http.Response:
    match context.route.verb:
        case "get":
            return _present(context, _live(context))
        case "update":
            scale = await bodies.object_body(context)
            if scale.get("kind") not in (None, "Scale") or scale.get("apiVersion") not in (None, API_VERSION):
                raise BadRequest(
                    f"expected a Scale of {API_VERSION}, got {scale.get('apiVersion')} {scale.get('kind')}"
                )
            return await _write(context, lambda old: scale)
        case "patch":
            media = bodies.media_type(context)
            patch.check_media(media)
            value = bodies.json_value(context, await bodies.read(context))
            return await _write(
                context, lambda old: patch.patched_value(media, TYPE_NAME, scale_of(context, old), value)
            )
        case _:
            raise status.method_not_allowed()


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
    replicas = (scale.get("spec") or {}).get("replicas", 0)
    name = context.route.name
    if (scale.get("metadata") or {}).get("name", name) != name:
        raise BadRequest(f"the name of the object does not match the name on the URL ({name})")
    if replicas < 0:
        fault = Cause(
            "spec.replicas", "FieldValueInvalid", f"Invalid value: {replicas}: must be greater than or equal to 0"
        )
        raise status.invalid("Scale", "autoscaling", name, [fault])
    metadata = dict(obj["metadata"])
    asked = (scale.get("metadata") or {}).get("resourceVersion")
    if asked:
        metadata["resourceVersion"] = asked
    else:
        metadata.pop("resourceVersion", None)
    return {**obj, "metadata": metadata, "spec": {**obj["spec"], "replicas": replicas}}


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
