"""Audit events: from what the server kept of a request to one audit.k8s.io/v1 Event. Pure; runs in the log's thread.

Bodies are decoded here, off the request's path; what cannot be decoded is left out.
"""

import gzip
from dataclasses import dataclass, field
from typing import Any

import msgspec

from knarr.apiserver.audit.policy import Asked, Decision, Level
from knarr.apiserver.context import User
from knarr.base.clock import Instant, rfc3339_micro
from knarr.wire import http, strict_json

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asking:
    """A request as it came: the same for all its stages."""

    audit_id: str
    uri: str
    asked: Asked
    version: str
    user: User
    received: Instant
    decision: Decision
    source: str = ""
    agent: str = ""
    body: bytes = b""
    media: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """How it went so far. `code` 0: not answered yet."""

    stage: str
    moment: Instant
    code: int = 0
    headers: http.Headers = ()
    body: bytes = b""
    impersonated: User | None = None
    annotations: Json = field(default_factory=dict)


def size(asking: Asking, answered: Answered) -> int:
    """Bytes that wait with the event."""
    return len(asking.body) + len(answered.body) + 1024


def event(asking: Asking, answered: Answered) -> Json:
    """The event of one stage."""
    decision = asking.decision
    made: Json = {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": decision.level.text,
        "auditID": asking.audit_id,
        "stage": answered.stage,
        "requestURI": asking.uri,
        "verb": asking.asked.verb,
        "user": _user(asking.user),
    }
    if answered.impersonated is not None:
        made["impersonatedUser"] = _user(answered.impersonated)
    made["sourceIPs"] = [asking.source or "::1"]
    if asking.agent:
        made["userAgent"] = asking.agent
    answer = _decoded_answer(answered)
    if not asking.asked.path:
        made["objectRef"] = _object_ref(asking, answer)
    if answered.code:
        made["responseStatus"] = _status(answered.code, answer)
    made |= _bodies(asking, answer)
    made["requestReceivedTimestamp"] = rfc3339_micro(asking.received)
    made["stageTimestamp"] = rfc3339_micro(answered.moment)
    if answered.annotations:
        made["annotations"] = answered.annotations
    return made


def _user(user: User) -> Json:
    value: Json = {"username": user.name}
    if user.uid:
        value["uid"] = user.uid
    value["groups"] = list(user.groups)
    if user.extra:
        value["extra"] = {key: list(values) for key, values in user.extra.items()}
    return value


def _decoded_answer(answered: Answered) -> Json:
    headers = dict(answered.headers)
    if not answered.body or not headers.get("content-type", "").startswith("application/json"):
        return {}
    try:
        body = gzip.decompress(answered.body) if headers.get("content-encoding") == "gzip" else answered.body
        value = msgspec.json.decode(body)
    except (OSError, EOFError, *strict_json.UNREADABLE):
        return {}
    return value if isinstance(value, dict) else {}


def _object_ref(asking: Asking, answer: Json) -> Json:
    asked = asking.asked
    made: Json = {"resource": asked.resource, "namespace": asked.namespace, "name": asked.name}
    metadata = answer.get("metadata") or {}
    if asked.verb == "create" and answer.get("kind") != "Status":
        made["name"] = asked.name or metadata.get("name", "")
    made |= {"apiGroup": asked.group, "apiVersion": asking.version, "subresource": asked.subresource}
    return {key: value for key, value in made.items() if value}


def _status(code: int, answer: Json) -> Json:
    status: Json = {"metadata": {}}
    if answer.get("kind") == "Status":
        status |= {key: answer[key] for key in ("status", "message", "reason", "details") if key in answer}
    return {**status, "code": code}


def _bodies(asking: Asking, answer: Json) -> Json:
    level, made = asking.decision.level, {}
    if level >= Level.REQUEST and asking.body:
        value = _decoded_request(asking)
        if value is not None:
            made["requestObject"] = _trimmed(value, asking.decision)
    if level >= Level.REQUEST_RESPONSE and answer:
        made["responseObject"] = _trimmed(answer, asking.decision)
    return made


def _decoded_request(asking: Asking) -> Any:
    from knarr.apiserver import bodies
    from knarr.base.errors import KnarrError
    from knarr.wire import strict_yaml

    try:
        match asking.media:
            case "application/vnd.kubernetes.protobuf":
                return bodies.protobuf_value(asking.body)
            case "application/yaml" | "application/apply-patch+yaml":
                return strict_yaml.decode(asking.body)
            case _:
                return msgspec.json.decode(asking.body)
    except (KnarrError, *strict_json.UNREADABLE):
        return None


def _trimmed(value: Any, decision: Decision) -> Any:
    if not decision.omits_managed_fields or not isinstance(value, dict):
        return value
    items = value.get("items")
    if isinstance(items, list):
        value = {**value, "items": [_without_managed(item) for item in items]}
    return _without_managed(value)


def _without_managed(value: Any) -> Any:
    metadata = value.get("metadata") if isinstance(value, dict) else None
    if not isinstance(metadata, dict) or "managedFields" not in metadata:
        return value
    return {**value, "metadata": {key: each for key, each in metadata.items() if key != "managedFields"}}
