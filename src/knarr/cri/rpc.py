"""The CRI's RPCs as a table, and how errors travel: what the server and the client of the socket both need.

Codes are gRPC's names; nothing here imports gRPC, which costs 27 MB.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from knarr.base import errors
from knarr.cri import codec

PACKAGE: Final = "runtime.v1"
MESSAGE_MAX: Final = 16 << 20
"""Bytes of one message, as upstream's clients and servers allow."""

CODES: Final[tuple[tuple[type[errors.KnarrError], str], ...]] = (
    (errors.NotFound, "NOT_FOUND"),
    (errors.AlreadyExists, "ALREADY_EXISTS"),
    (errors.Conflict, "ABORTED"),
    (errors.Invalid, "INVALID_ARGUMENT"),
    (errors.BadRequest, "INVALID_ARGUMENT"),
    (errors.Unauthenticated, "UNAUTHENTICATED"),
    (errors.Forbidden, "PERMISSION_DENIED"),
    (errors.Expired, "OUT_OF_RANGE"),
    (errors.TooMany, "RESOURCE_EXHAUSTED"),
    (errors.TooLarge, "RESOURCE_EXHAUSTED"),
    (errors.Unavailable, "UNAVAILABLE"),
    (errors.DeadlineExceeded, "DEADLINE_EXCEEDED"),
    (errors.Unimplemented, "UNIMPLEMENTED"),
)
"""Error → code. Read the other way, the first row of a code counts."""


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC: `attribute` is the method of the Protocol in cri/protocol.py."""

    path: str
    attribute: str
    request: type[msgspec.Struct]
    response: type[msgspec.Struct]
    is_stream: bool


def methods(service: str) -> Iterator[Method]:
    """The RPCs of RuntimeService or ImageService."""
    for name, row in codec.facts()["services"][service].items():
        yield Method(
            path=f"/{PACKAGE}.{service}/{name}",
            attribute=re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower(),
            request=codec.message_type(row["request"]),
            response=codec.message_type(row["response"]),
            is_stream=bool(row.get("serverStream")),
        )


def code_of(error: errors.KnarrError) -> str:
    """The gRPC code's name for an error."""
    codes = (code for kind, code in CODES if isinstance(error, kind))
    return next(codes, "UNKNOWN")


def error_of(code: str, message: str) -> errors.KnarrError:
    """The error for a gRPC code; those that say nothing to a caller are plain KnarrErrors."""
    kinds: dict[str, type[errors.KnarrError]] = {"FAILED_PRECONDITION": errors.Invalid}
    kinds.update({name: kind for kind, name in reversed(CODES)})
    return kinds.get(code, errors.KnarrError)(message)
