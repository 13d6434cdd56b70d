"""Faults: upstream's words for what is wrong with a field. Each makes one `errors.Cause`. Spec: field.Error."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from knarr.base.errors import Cause

SHOWN_MAX: Final = 16 * 1024
"""Characters of a value that a message quotes: one value may be quoted by many faults."""


def shown(value: Any) -> str:
    """A value as messages quote it: strings in quotes, everything else as JSON."""
    if isinstance(value, str) and len(value) > SHOWN_MAX:
        return _cut(msgspec.json.encode(value[:SHOWN_MAX]).decode(), len(value) - SHOWN_MAX)
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= SHOWN_MAX else _cut(text[:SHOWN_MAX], len(text) - SHOWN_MAX)


def _cut(text: str, more: int) -> str:
    return f"{text}... ({more} more characters)"


def _because(text: str, detail: str) -> str:
    return f"{text}: {detail}" if detail else text


def required(field: str, detail: str = "") -> Cause:
    return Cause(field, "FieldValueRequired", _because("Required value", detail))


def invalid(field: str, value: Any, detail: str) -> Cause:
    return Cause(field, "FieldValueInvalid", _because(f"Invalid value: {shown(value)}", detail))


def bad(field: str, detail: str) -> Cause:
    """Invalid as a whole: no value is shown."""
    return Cause(field, "FieldValueInvalid", _because("Invalid value", detail))


def unsupported(field: str, value: Any, supported: Iterable[str]) -> Cause:
    listed = ", ".join(shown(each) for each in sorted(supported))
    detail = f"supported values: {listed}" if listed else ""
    return Cause(field, "FieldValueNotSupported", _because(f"Unsupported value: {shown(value)}", detail))


def forbidden(field: str, detail: str) -> Cause:
    return Cause(field, "FieldValueForbidden", _because("Forbidden", detail))


def duplicate(field: str, value: Any, detail: str = "") -> Cause:
    return Cause(field, "FieldValueDuplicate", _because(f"Duplicate value: {shown(value)}", detail))


def too_long(field: str, most: int) -> Cause:
    return Cause(field, "FieldValueTooLong", f"Too long: may not be more than {most} bytes")


def too_long_text(field: str, most: int) -> Cause:
    return Cause(field, "FieldValueTooLong", f"Too long: may not be more than {most} characters")


def too_many(field: str, found: int, most: int) -> Cause:
    return Cause(field, "FieldValueTooMany", f"Too many: {found}: must have at most {most} items")


def not_found(field: str, value: Any, detail: str = "") -> Cause:
    return Cause(field, "FieldValueNotFound", _because(f"Not found: {shown(value)}", detail))


IMMUTABLE = "field is immutable"
NOT_POSITIVE = "must be greater than zero"
NON_NEGATIVE = "must be greater than or equal to 0"


def each(field: str, value: Any, details: Iterable[str]) -> list[Cause]:
    """One invalid fault per detail."""
    return [invalid(field, value, detail) for detail in details]
