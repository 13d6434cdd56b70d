"""Checks of numbers, percentages, ports and selectors that many kinds share. Texts are upstream's."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.objects import faults, names

Json = dict[str, Any]
TOKEN_SECONDS_MIN: Final = 600
_PERCENT = re.compile("[0-9]+%", re.ASCII)


def non_negative(value: Any, field: str) -> Iterator[Cause]:
    if isinstance(value, int) and value < 0:
        yield faults.invalid(field, value, faults.NON_NEGATIVE)


def token_seconds(seconds: int | None, field: str) -> Iterator[Cause]:
    """How long a ServiceAccount token that is asked for may live."""
    if seconds is not None and seconds < TOKEN_SECONDS_MIN:
        yield faults.invalid(field, seconds, "may not specify a duration less than 10 minutes")
    if seconds is not None and seconds > 2**32:
        yield faults.invalid(field, seconds, "may not specify a duration larger than 2^32 seconds")


def positive(value: Any, field: str) -> Iterator[Cause]:
    if isinstance(value, int) and value <= 0:
        yield faults.invalid(field, value, "must be greater than 0")


def above_zero(value: Any, field: str) -> Iterator[Cause]:
    """As `positive`, in the words that upstream has for most kinds."""
    if isinstance(value, int) and value <= 0:
        yield faults.invalid(field, value, faults.NOT_POSITIVE)


def between(value: Any, field: str, bounds: tuple[int, int]) -> Iterator[Cause]:
    if isinstance(value, int) and not bounds[0] <= value <= bounds[1]:
        yield faults.invalid(field, value, f"must be between {bounds[0]} and {bounds[1]}, inclusive")


def amounts(given: Mapping[str, str] | None, field: str) -> Iterator[Cause]:
    """Quantities by name, none of which may be negative."""
    for name, amount in (given or {}).items():
        if amount.startswith("-"):  # canonical: nothing else is negative
            yield faults.invalid(f"{field}[{name}]", amount, faults.NON_NEGATIVE)


def labels(given: Mapping[str, str] | None, field: str) -> Iterator[Cause]:
    for key, value in (given or {}).items():
        yield from faults.each(field, key, names.qualified(key))
        yield from faults.each(field, value, names.label_value(value))


def port(value: Any, field: str) -> Iterator[Cause]:
    if not isinstance(value, int) or not 1 <= value <= 65535:
        yield faults.invalid(field, value, "must be between 1 and 65535, inclusive")


def port_or_name(value: Any, field: str) -> Iterator[Cause]:
    if isinstance(value, str):
        yield from faults.each(field, value, names.port_name(value))
    else:
        yield from port(value if value is not None else 0, field)


def count_or_percent(value: Any, field: str) -> Iterator[Cause]:
    """A whole number or `N%`."""
    if isinstance(value, str):
        if not _PERCENT.fullmatch(value):
            detail = "a valid percent string must be a numeric string followed by an ending '%'"
            yield faults.invalid(field, value, f"{detail} (e.g. '1%' or '93%', regex used for validation is '[0-9]+%')")
    else:
        yield from non_negative(value, field)


def at_most_100_percent(value: Any, field: str) -> Iterator[Cause]:
    if isinstance(value, str) and _PERCENT.fullmatch(value) and int(value[:-1]) > 100:
        yield faults.invalid(field, value, "must not be greater than 100%")


def is_zero(value: Any) -> bool:
    return value == 0 or (isinstance(value, str) and _PERCENT.fullmatch(value) is not None and int(value[:-1]) == 0)


def label_selector(selector: Mapping[str, Any] | None, field: str) -> Iterator[Cause]:
    if selector is None:
        return
    yield from labels(selector.get("matchLabels"), f"{field}.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        yield from _expression(expression, f"{field}.matchExpressions[{index}]")


def _expression(expression: Json, field: str) -> Iterator[Cause]:
    operator, values = expression.get("operator", ""), expression.get("values")
    if operator in ("In", "NotIn"):
        if not values:
            yield faults.required(f"{field}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            yield faults.forbidden(f"{field}.values", detail)
    elif operator:
        yield faults.invalid(f"{field}.operator", operator, "not a valid selector operator")
    key = expression.get("key", "")
    if key:
        yield from faults.each(f"{field}.key", key, names.qualified(key))
    for index, value in enumerate(values or ()):
        yield from faults.each(f"{field}.values[{index}]", value, names.label_value(value))
