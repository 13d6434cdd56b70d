"""Checks of a Job's policies: which failures count, what is success enough, which indexes. Texts are upstream's."""

from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause, Invalid
from knarr.kinds.rules import numbers
from knarr.objects import faults, names

Json = dict[str, Any]
ACTIONS: Final = ("Count", "FailIndex", "FailJob", "Ignore")
OPERATORS: Final = ("In", "NotIn")
STATUSES: Final = ("False", "True", "Unknown")
REPLACEMENTS: Final = ("Failed", "TerminatingOrFailed")
RULES_MAX: Final = 20
PATTERNS_MAX: Final = 20
EXIT_CODES_MAX: Final = 255
INDEXES_BYTES_MAX: Final = 64 * 1024


def _valid(values: tuple[str, ...]) -> str:
    """Go's `%q` of a list."""
    return f"valid values: [{' '.join(faults.shown(value) for value in values)}]"


def of_failures(spec: Json, field: str) -> Iterator[Cause]:
    pod = (spec.get("template") or {}).get("spec") or {}
    containers = {each.get("name") for kind in ("containers", "initContainers") for each in pod.get(kind) or ()}
    listed = (spec.get("podFailurePolicy") or {}).get("rules") or ()
    if len(listed) > RULES_MAX:
        yield faults.too_many(f"{field}.rules", len(listed), RULES_MAX)
    for index, rule in enumerate(listed):
        path, action = f"{field}.rules[{index}]", rule.get("action", "")
        if not action:
            yield faults.required(f"{path}.action", _valid(ACTIONS))
        elif action not in ACTIONS:
            yield faults.unsupported(f"{path}.action", action, ACTIONS)
        elif action == "FailIndex" and spec.get("backoffLimitPerIndex") is None:
            yield faults.invalid(f"{path}.action", action, "requires the backoffLimitPerIndex to be set")
        yield from _rule(rule, path, containers)


def _rule(rule: Json, field: str, containers: set[Any]) -> Iterator[Cause]:
    codes, patterns = rule.get("onExitCodes"), rule.get("onPodConditions") or []
    if codes is not None:
        yield from _exit_codes(codes, f"{field}.onExitCodes", containers)
    if len(patterns) > PATTERNS_MAX:
        yield faults.too_many(f"{field}.onPodConditions", len(patterns), PATTERNS_MAX)
    for index, pattern in enumerate(patterns):
        path, status = f"{field}.onPodConditions[{index}]", pattern.get("status", "")
        yield from faults.each(f"{path}.type", pattern.get("type", ""), names.qualified(pattern.get("type", "")))
        if not status:
            yield faults.required(f"{path}.status", _valid(STATUSES))
        elif status not in STATUSES:
            yield faults.unsupported(f"{path}.status", status, STATUSES)
    if codes is not None and patterns:
        yield faults.bad(field, "specifying both OnExitCodes and OnPodConditions is not supported")
    elif codes is None and not patterns:
        yield faults.bad(field, "specifying one of OnExitCodes and OnPodConditions is required")


def _exit_codes(codes: Json, field: str, containers: set[Any]) -> Iterator[Cause]:
    operator, values = codes.get("operator", ""), codes.get("values") or []
    if not operator:
        yield faults.required(f"{field}.operator", _valid(OPERATORS))
    elif operator not in OPERATORS:
        yield faults.unsupported(f"{field}.operator", operator, OPERATORS)
    name = codes.get("containerName")
    if name is not None and name not in containers:
        detail = "must be one of the container or initContainer names in the pod template"
        yield faults.invalid(f"{field}.containerName", name, detail)
    if not values:
        yield faults.invalid(f"{field}.values", values, "at least one value is required")
    elif len(values) > EXIT_CODES_MAX:
        yield faults.too_many(f"{field}.values", len(values), EXIT_CODES_MAX)
        return
    seen: set[Any] = set()
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            yield faults.invalid(f"{field}.values[{index}]", value, "must not be 0 for the In operator")
        if value in seen:
            yield faults.duplicate(f"{field}.values[{index}]", value)
        seen.add(value)
    if values != sorted(values):
        yield faults.invalid(f"{field}.values", values, "must be ordered")


def of_replacement(spec: Json, field: str) -> Iterator[Cause]:
    policy = spec.get("podReplacementPolicy")
    allowed = ("Failed",) if spec.get("podFailurePolicy") is not None else REPLACEMENTS
    if policy is not None and policy not in allowed:
        yield faults.unsupported(field, policy, allowed)


def of_success(spec: Json, field: str) -> Iterator[Cause]:
    listed, completions = spec["successPolicy"].get("rules") or [], spec.get("completions") or 0
    if not listed:
        detail = "at least one rules must be specified when the successPolicy is specified"
        yield faults.required(f"{field}.rules", detail)
    if len(listed) > RULES_MAX:
        yield faults.too_many(f"{field}.rules", len(listed), RULES_MAX)
    for index, rule in enumerate(listed):
        yield from _success(rule, f"{field}.rules[{index}]", completions)


def _success(rule: Json, field: str, completions: int) -> Iterator[Cause]:
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and indexes is None:
        yield faults.required(field, "at least one of succeededCount or succeededIndexes must be specified")
    total = 0
    if indexes is not None:
        path = f"{field}.succeededIndexes"
        if len(indexes) > INDEXES_BYTES_MAX:
            yield faults.too_long(path, INDEXES_BYTES_MAX)
            return
        try:
            total = how_many(indexes, completions)
        except Invalid as error:
            yield faults.invalid(path, indexes, f"error parsing succeededIndexes: {error}")
    if count is None:
        return
    path = f"{field}.succeededCount"
    yield from numbers.non_negative(count, path)
    if count > completions:
        detail = f"must be less than or equal to {completions} (the number of specified completions)"
        yield faults.invalid(path, count, detail)
    if indexes is not None and count > total:
        detail = (
            f"must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        )
        yield faults.invalid(path, count, detail)


def how_many(indexes: str, completions: int) -> int:
    """How many indexes a text such as `1,3-5` names. Raises Invalid."""
    return sum(end - first + 1 for first, end in _intervals(indexes, completions))


def overlap(one: str, other: str, completions: int) -> int | None:
    """The first index that both texts name; texts that are none name none, which is told elsewhere."""
    try:
        left, right = (_intervals(text, completions) for text in (one, other))
    except Invalid:
        return None
    at = 0
    for first, end in left:
        while at < len(right) and right[at][1] < first:
            at += 1
        if at < len(right) and right[at][0] <= end:
            return max(first, right[at][0])
    return None


def _intervals(indexes: str, completions: int) -> list[tuple[int, int]]:
    """The intervals of a text, in order. Raises Invalid."""
    found: list[tuple[int, int]] = []
    for part in indexes.split(",") if indexes else ():
        first, end = _interval(part, completions)
        if found and found[-1][1] >= first:
            raise Invalid(f"non-increasing order, previous: {found[-1][1]}, current: {first}")
        found.append((first, end))
    return found


def _interval(text: str, completions: int) -> tuple[int, int]:
    limits = text.split("-")
    if len(limits) > 2:
        raise Invalid(
            f'the fragment "{text}" violates the requirement that an index interval can have at most two parts '
            "separated by '-'"
        )
    found = []
    for limit in limits:
        if not (limit.isascii() and limit.isdigit()):
            raise Invalid(f'cannot convert string to integer for index: "{limit}"')
        digits = limit.lstrip("0") or "0"
        # Judged by length first: Python reads no number of more than 4300 digits.
        if len(digits) > len(str(completions)) or int(digits) >= completions:
            raise Invalid(f'too large index: "{limit}"')
        found.append(int(digits))
    if len(found) == 2 and found[0] >= found[1]:
        raise Invalid(f"non-increasing order, previous: {found[0]}, current: {found[1]}")
    return found[0], found[-1]
