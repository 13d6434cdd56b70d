"""One tree of errors, named by what the caller may do about them.

Every part raises these; three edge tables map them: Kubernetes Status (apiserver/status.py), gRPC codes
(criserver/grpc.py), OCI error codes (registry/errors.py). Messages name the object, the field path and the value.
Not here: outcomes that a caller expects (a pod that fits no node); those are return values.
"""

from collections.abc import Sequence


class Cause:
    """One field at fault. `reason` is Kubernetes' word (FieldValueInvalid, FieldValueRequired, …).

    Written by hand: the command's start would spend a fifth of its time on importing dataclasses.
    """

    __slots__ = ("field", "message", "reason")

    def __init__(self, field: str, reason: str, message: str) -> None:
        self.field, self.reason, self.message = field, reason, message

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cause) and self._members() == other._members()

    def __hash__(self) -> int:
        return hash(self._members())

    def __repr__(self) -> str:
        return f"Cause{self._members()!r}"

    def _members(self) -> tuple[str, str, str]:
        return self.field, self.reason, self.message


class KnarrError(Exception):
    """Base of all errors that knarr raises on purpose; str() is one line for a person."""


class NotFound(KnarrError):
    """The named thing is not there; the caller may create it or give up."""


class AlreadyExists(KnarrError):
    """The name is taken."""


class Conflict(KnarrError):
    """The thing changed since it was read; the caller may read it again and retry."""


class Invalid(KnarrError):
    """The input can never be accepted as it is; `causes` names the fields."""

    def __init__(self, message: str, causes: Sequence[Cause] = ()) -> None:
        super().__init__(message)
        self.causes = tuple(causes)


class BadRequest(KnarrError):
    """The request cannot be understood (syntax, unknown parameter, wrong media type of a body's content)."""


class Unauthenticated(KnarrError):
    """Nobody vouches for the caller."""


class Forbidden(KnarrError):
    """The caller is known and may not."""


class Expired(KnarrError):
    """The revision asked for is compacted, or a watcher was too slow; the caller must list again.

    `oldest` is the oldest revision that is kept, where that is what is missing."""

    def __init__(self, message: str, oldest: int = 0) -> None:
        super().__init__(message)
        self.oldest = oldest


class TooMany(KnarrError):
    """Too many requests; the caller may retry after `after` seconds."""

    def __init__(self, message: str, after: float = 1.0) -> None:
        super().__init__(message)
        self.after = after


class TooLarge(KnarrError):
    """A body, object or stream is past its limit."""


class Unavailable(KnarrError):
    """A part that is needed does not answer now; the caller may retry."""


class DeadlineExceeded(KnarrError):
    """The time allowed for an act is over."""


class Unimplemented(KnarrError):
    """This part does not offer the operation; no retry will change that."""
