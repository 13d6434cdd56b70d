"""From a metav1.Status to the error of base/errors.py that it means: by reason, else by HTTP code.

The server's edge table is apiserver/status.py; this is its mirror. Not here: retries.
"""

from typing import Any, Final

import msgspec

from knarr.base import errors
from knarr.base.errors import Cause, KnarrError
from knarr.wire import strict_json

# Status.reason → error; reasons that need more than a message are in `error`.
BY_REASON: Final[dict[str, type[KnarrError]]] = {
    "NotFound": errors.NotFound,
    "AlreadyExists": errors.AlreadyExists,
    "Conflict": errors.Conflict,
    "Unauthorized": errors.Unauthenticated,
    "Forbidden": errors.Forbidden,
    "Expired": errors.Expired,
    "Gone": errors.Expired,
    "BadRequest": errors.BadRequest,
    "RequestEntityTooLarge": errors.TooLarge,
    "MethodNotAllowed": errors.Unimplemented,
    "NotAcceptable": errors.Unimplemented,
    "UnsupportedMediaType": errors.Unimplemented,
    "Timeout": errors.Unavailable,
    "ServerTimeout": errors.Unavailable,
    "InternalError": errors.Unavailable,
    "ServiceUnavailable": errors.Unavailable,
}

BY_CODE: Final[dict[int, type[KnarrError]]] = {
    400: errors.BadRequest,
    401: errors.Unauthenticated,
    403: errors.Forbidden,
    404: errors.NotFound,
    405: errors.Unimplemented,
    406: errors.Unimplemented,
    409: errors.Conflict,
    410: errors.Expired,
    413: errors.TooLarge,
    415: errors.Unimplemented,
}
TEXT_MAX: Final = 512
"""Bytes of an answer that is no Status which the message keeps."""


def error(code: int, answer: bytes) -> KnarrError:
    """The error that an answer with this HTTP code means; code 0 (a watch's ERROR event): the Status has it."""
    status = _status(answer)
    code = code or _number(status.get("code"))
    message = str(status.get("message") or f"HTTP {code}: {answer[:TEXT_MAX].decode('utf-8', 'replace').strip()}")
    details = status.get("details")
    details = details if isinstance(details, dict) else {}
    reason = str(status.get("reason") or "")
    if reason == "Invalid" or (not reason and code == 422):
        return errors.Invalid(message, _causes(details))
    if reason == "TooManyRequests" or code == 429:
        return errors.TooMany(message, float(_number(details.get("retryAfterSeconds")) or 1))
    return BY_REASON.get(reason, BY_CODE.get(code, errors.Unavailable))(message)


def _status(answer: bytes) -> dict[str, Any]:
    try:
        status = msgspec.json.decode(answer)
    except strict_json.UNREADABLE:
        return {}
    return status if isinstance(status, dict) else {}


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _causes(details: dict[str, Any]) -> tuple[Cause, ...]:
    causes = details.get("causes")
    return tuple(
        Cause(str(cause.get("field", "")), str(cause.get("reason", "")), str(cause.get("message", "")))
        for cause in (causes if isinstance(causes, list) else ())
        if isinstance(cause, dict)
    )
