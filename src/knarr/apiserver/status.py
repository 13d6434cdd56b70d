"""metav1.Status: the server's one form of refusal, and the table from errors to code and reason.

Raise the errors of base/errors.py with upstream's message; `Refusal` says code, reason and details outright.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from knarr.base import errors
from knarr.base.errors import Cause, KnarrError

# Error → HTTP code, Status.reason.
CODES: Final[tuple[tuple[type[KnarrError], int, str], ...]] = (
    (errors.NotFound, 404, "NotFound"),
    (errors.AlreadyExists, 409, "AlreadyExists"),
    (errors.Conflict, 409, "Conflict"),
    (errors.Invalid, 422, "Invalid"),
    (errors.BadRequest, 400, "BadRequest"),
    (errors.Unauthenticated, 401, "Unauthorized"),
    (errors.Forbidden, 403, "Forbidden"),
    (errors.Expired, 410, "Expired"),
    (errors.TooMany, 429, "TooManyRequests"),
    (errors.TooLarge, 413, "RequestEntityTooLarge"),
    (errors.DeadlineExceeded, 504, "Timeout"),
    (errors.Unavailable, 503, "ServiceUnavailable"),
    (errors.Unimplemented, 405, "MethodNotAllowed"),
)


CAUSES_MAX: Final = 500
TEXT_MAX: Final = 16 * 1024
MESSAGE_MAX: Final = 64 * 1024
"""Bounds of one Status, in causes and characters: a small body may have a fault in each of 100,000 places, or a large
value that is quoted."""


class Refusal(KnarrError):
    """A refusal that names its code, reason and details itself."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        after: int = 0,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.details = dict(details or {})
        self.after = after
        self.metadata = dict(metadata or {})
        """Of the Status itself: the token with which an expired list can go on."""


class _Detailed(KnarrError):
    """An error that knows which object it is about, which need not be the route's."""

    def __init__(self, message: str, qualified: str, name: str) -> None:
        super().__init__(message)
        plural, _, group = qualified.partition(".")
        named = {"name": name, "group": group, "kind": plural}
        self.details = {key: value for key, value in named.items() if value}


class _NotFound(_Detailed, errors.NotFound):
    pass


class _Forbidden(_Detailed, errors.Forbidden):
    pass


class _AlreadyExists(_Detailed, errors.AlreadyExists):
    pass


def of(error: KnarrError, details: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The Status of an error; `details` are the route's (name, group, kind)."""
    if isinstance(error, _Detailed):
        details = error.details
    if isinstance(error, Refusal):
        return {**failure(error.code, error.reason, str(error), error.details or None), "metadata": error.metadata}
    code, reason = next((code, reason) for kind, code, reason in CODES if isinstance(error, kind))
    filled: dict[str, Any] = dict(details or {})
    if isinstance(error, errors.Invalid) and error.causes:
        filled["causes"] = causes(error.causes)
    if isinstance(error, errors.TooMany):
        filled["retryAfterSeconds"] = max(1, round(error.after))
    return failure(code, reason, str(error), filled or None)


def failure(code: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> dict[str, Any]:
    status: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": _cut(message, MESSAGE_MAX),
        "reason": reason,
    }
    if details:
        status["details"] = dict(details)
    status["code"] = code
    return status


def success(details: Mapping[str, Any]) -> bytes:
    """The answer to a deletion that left nothing."""
    return msgspec.json.encode(
        {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": dict(details)}
    )


def causes(found: Sequence[Cause]) -> list[dict[str, str]]:
    return [
        {"reason": cause.reason, "message": _cut(cause.message, TEXT_MAX), "field": _cut(cause.field, TEXT_MAX)}
        for cause in found[:CAUSES_MAX]
    ]


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text) - limit} more characters)"


def invalid(kind: str, group: str, name: str, found: Sequence[Cause]) -> Refusal:
    """422 in upstream's words: `Deployment.apps "web" is invalid: spec.replicas: Invalid value: …`."""
    qualified = f"{kind}.{group}" if group else kind
    texts = [
        _cut(f"{cause.field}: {cause.message}" if cause.field else cause.message, TEXT_MAX)
        for cause in found[:CAUSES_MAX]
    ]
    if len(found) > CAUSES_MAX:
        texts.append(f"and {len(found) - CAUSES_MAX} more")
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    details: dict[str, Any] = {"name": name, "kind": kind, "causes": causes(found)}
    if group:
        details["group"] = group
    return Refusal(422, "Invalid", f'{qualified} "{name}" is invalid: {text}', details=details)


def not_found(qualified: str, name: str) -> errors.NotFound:
    return _NotFound(f'{qualified} "{name}" not found', qualified, name)


def forbidden(qualified: str, name: str, why: str) -> errors.Forbidden:
    return _Forbidden(f'{qualified} "{name}" is forbidden: {why}', qualified, name)


def already_exists(qualified: str, name: str) -> errors.AlreadyExists:
    return _AlreadyExists(f'{qualified} "{name}" already exists', qualified, name)


def modified(qualified: str, name: str) -> errors.Conflict:
    return errors.Conflict(
        f'Operation cannot be fulfilled on {qualified} "{name}": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


def method_not_allowed() -> Refusal:
    return Refusal(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
