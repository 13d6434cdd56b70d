"""Checks of tolerations, of pods and of RuntimeClasses. Texts are upstream's."""

from collections.abc import Iterable, Iterator
from typing import Any

from knarr.base.errors import Cause
from knarr.objects import faults, names

Json = dict[str, Any]


def each(given: Iterable[Json], field: str) -> Iterator[Cause]:
    for index, toleration in enumerate(given):
        yield from _toleration(toleration, f"{field}[{index}]")


def _toleration(toleration: Json, field: str) -> Iterator[Cause]:
    key, operator = toleration.get("key", ""), toleration.get("operator", "")
    if key:
        yield from faults.each(f"{field}.key", key, names.qualified(key))
    elif operator != "Exists":
        detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield faults.invalid(f"{field}.operator", operator, detail)
    if operator == "Exists":
        if toleration.get("value"):
            yield faults.invalid(
                f"{field}.operator", toleration["value"], "value must be empty when `operator` is 'Exists'"
            )
    elif toleration.get("value"):
        yield from faults.each(f"{field}.operator", toleration["value"], names.label_value(toleration["value"]))
    if toleration.get("tolerationSeconds") is not None and toleration.get("effect") != "NoExecute":
        detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        yield faults.invalid(f"{field}.effect", toleration.get("effect", ""), detail)
