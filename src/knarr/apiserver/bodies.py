"""Request bodies: from bytes and Content-Type to JSON, with the field validation that was asked for.

JSON, YAML and Kubernetes protobuf; anything else is 415. Duplicate keys are looked for where they are told (Strict, and
Warn, which is what upstream does without the parameter). Unknown fields are found by strategy.py, which knows the
schema.
"""

import functools
from typing import TYPE_CHECKING, Any

from knarr.apiserver.context import RequestContext
from knarr.apiserver.status import Refusal
from knarr.base.errors import BadRequest, TooLarge
from knarr.kinds import schemas
from knarr.objects import decoding
from knarr.wire import strict_json

if TYPE_CHECKING:
    from knarr.wire import protobuf

BODY_BYTES_MAX = 3 * 1024 * 1024
SUPPORTED = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
STRICT_FAULTS_MAX = 100
"""Unknown and duplicate fields that are told, as upstream's decoder."""
SUMMARY_BYTES_MAX = 30
EVICTION = "io.k8s.api.policy.v1.Eviction"
Json = dict[str, Any]
WHOLE = frozenset(("", "status", "approval", "finalize", "ephemeralcontainers", "resize"))
"""Subresources whose body is the object itself: its unknown fields are told together with the duplicate ones."""


async def read(context: RequestContext, limit: int = BODY_BYTES_MAX) -> bytes:
    body = context.request.body
    if isinstance(body, bytes) and len(body) <= limit:
        return body
    try:
        return await context.request.read(limit)
    except TooLarge as error:
        raise TooLarge(f"Request entity too large: limit is {limit}") from error


def media_type(context: RequestContext) -> str:
    if not context.media:
        context.media = _media_type(context.request.header("content-type", "application/json"))
    return context.media


@functools.lru_cache(256)
def _media_type(header: str) -> str:
    return header.partition(";")[0].strip().lower()


async def object_body(context: RequestContext) -> Json:
    """The body as one JSON object. Raises BadRequest or a 415 Refusal."""
    content, media = await read(context), media_type(context)
    try:
        return decoded(context, content, media)
    except strict_json.Unreadable as error:
        if context.route.subresource not in WHOLE:
            raise
        raise BadRequest(
            f"the object provided is unrecognized (must be of type {context.resource.kind.kind}): "
            f"couldn't get version/kind; json parse error: {error.why} ({_summary(content)})"
        ) from error


def _summary(content: bytes) -> str:
    """The beginning of a body as upstream shows it: text where it could be JSON, else its bytes."""
    shown = content[:SUMMARY_BYTES_MAX]
    text = shown.decode(errors="replace") if shown.startswith(b"{") else shown.hex() or "<empty>"
    return f"{text} ..." if len(content) > SUMMARY_BYTES_MAX else text


def typed(value: Json, type_name: str) -> Json:
    """A body that is no object of the route's kind (a Binding, an Eviction), read as the type that it is.

    Unknown fields are dropped; raises BadRequest for a value of a wrong type."""
    return decoding.decoded(schemas.root(type_name), type_name.rpartition(".")[2], "v1", value)


async def optional_body(context: RequestContext) -> Json:
    """The body, or {} when there is none."""
    content = await read(context)
    return decoded(context, content, media_type(context)) if content else {}


def decoded(context: RequestContext, content: bytes, media: str) -> Json:
    match media:
        case "application/json" | "":
            value = json_value(context, content)
        case "application/yaml" | "application/apply-patch+yaml":
            value = yaml_value(context, content)
        case "application/vnd.kubernetes.protobuf":
            value = protobuf_value(content)
        case other:
            raise unsupported(other, SUPPORTED)
    if not isinstance(value, dict):
        raise BadRequest("the body is not an object")
    return value


def unsupported(media: str, supported: str) -> Refusal:
    return Refusal(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: {supported}"
        + (f" (got {media})" if media else ""),
    )


def json_value(context: RequestContext, content: bytes) -> Any:
    """Strictly decoded JSON; duplicate fields are refused or warned of as fieldValidation says."""
    value, duplicates = _json_reporting(context, content)
    _note(context, duplicates)
    return value


def _note(context: RequestContext, duplicates: tuple[str, ...]) -> None:
    """Keep the paths of fields that a body has twice until they are told."""
    if duplicates:
        context.duplicates = tuple([f'duplicate field "{path}"' for path in duplicates])
        if context.route.subresource not in WHOLE:
            report(context, [])


def _reports_duplicates(context: RequestContext) -> bool:
    return context.query.get("fieldValidation", "Warn") != "Ignore"


def report(context: RequestContext, unknown: list[str]) -> None:
    """Refuse (Strict) or warn of (Warn) unknown fields, and duplicate ones that the body had."""
    if not unknown and not context.duplicates:
        return
    faults = [*context.duplicates, *unknown][:STRICT_FAULTS_MAX]
    context.duplicates = ()
    match context.query.get("fieldValidation", "Warn"):
        case "Strict":
            raise BadRequest(_strict_text(context, faults))
        case "Warn":
            context.warnings += faults[:10]
        case "Ignore":
            pass
        case other:
            raise BadRequest(
                f'fieldValidation: Unsupported value: "{other}": supported values: "", "Ignore", "Strict", "Warn"'
            )


def _strict_text(context: RequestContext, faults: list[str]) -> str:
    """Upstream's text: of a whole object with what could not be read as what, of a patch without."""
    text, route, kind = f"strict decoding error: {', '.join(faults)}", context.route, context.resource.kind
    is_whole = route.verb in ("create", "update") and route.subresource in ("", "status")
    if not is_whole:
        return text
    return f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {text}'


def yaml_value(context: RequestContext, content: bytes) -> Any:
    if content.startswith(b"{"):  # JSON is YAML, most clients send it, and it is read thirty times as fast
        try:
            value, duplicates = _json_reporting(context, content)
        except BadRequest:
            pass  # flow style, or wrong in a way that the YAML reader says better
        else:
            _note(context, duplicates)
            return value
    from knarr.wire import strict_yaml

    value, duplicates = strict_yaml.decode_reporting(content)
    _note(context, duplicates if _reports_duplicates(context) else ())
    return value


def _json_reporting(context: RequestContext, content: bytes) -> tuple[Any, tuple[str, ...]]:
    """The value, and the fields that occur twice where they are told."""
    return strict_json.decode_reporting(content) if _reports_duplicates(context) else (strict_json.decode(content), ())


def protobuf_value(content: bytes) -> Any:
    """The JSON value of a Kubernetes protobuf body. Raises BadRequest."""
    return _protobuf_decoder().decode(content)


@functools.cache
def _protobuf_decoder() -> "protobuf.Decoder":
    from knarr.kinds import registry
    from knarr.wire import protobuf

    types = registry.facts("types")["types"]
    eviction = types[EVICTION]
    # The one kind of a version that is gone: as upstream, pods/eviction reads it still, for clients older than 1.22.
    older = {**eviction, "kinds": [*eviction["kinds"], ("policy", "v1beta1", "Eviction")]}
    return protobuf.Decoder({**types, EVICTION: older})
