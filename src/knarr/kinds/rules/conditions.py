"""Checks of lists of metav1.Condition, for kinds whose status upstream judges so. Texts are upstream's."""

import re
from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.objects import faults, names

Json = dict[str, Any]
STATUSES: Final = ("False", "True", "Unknown")
REASON_MAX: Final = 1024
MESSAGE_MAX: Final = 32 * 1024
_REASON: Final = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
_reason: Final = re.compile(_REASON)
REASON_TEXT: Final = (
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric "
    "characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or "
    f"'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '{_REASON}')"
)


def each(conditions: list[Json] | None, field: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, condition in enumerate(conditions or ()):
        kind = condition.get("type", "")
        if kind in seen:
            yield faults.duplicate(f"{field}[{index}].type", kind)
        seen.add(kind)
        yield from _condition(condition, f"{field}[{index}]")


def _condition(condition: Json, field: str) -> Iterator[Cause]:
    kind, status, reason = (condition.get(key, "") for key in ("type", "status", "reason"))
    yield from faults.each(f"{field}.type", kind, names.qualified(kind))
    if status not in STATUSES:
        yield faults.unsupported(f"{field}.status", status, STATUSES)
    if condition.get("observedGeneration", 0) < 0:
        detail = "must be greater than or equal to zero"
        yield faults.invalid(f"{field}.observedGeneration", condition["observedGeneration"], detail)
    if not condition.get("lastTransitionTime"):
        yield faults.required(f"{field}.lastTransitionTime", "must be set")
    if not reason:
        yield faults.required(f"{field}.reason", "must be set")
    elif not _reason.fullmatch(reason):
        yield faults.invalid(f"{field}.reason", reason, REASON_TEXT)
    if len(reason.encode()) > REASON_MAX:
        yield faults.too_long(f"{field}.reason", REASON_MAX)
    if len(condition.get("message", "").encode()) > MESSAGE_MAX:
        yield faults.too_long(f"{field}.message", MESSAGE_MAX)


def is_true(found: Json, kind: str) -> bool:
    """Has the object's status the condition?"""
    listed = (found.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == kind and each.get("status") == "True" for each in listed)
