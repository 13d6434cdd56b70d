"""Conditions of a status: set, kept and removed the way upstream's controllers do it.

A condition whose status and reason stay is left alone, message included; one whose status stays keeps its
lastTransitionTime. Works on conditions as lenses; `encode` gives the JSON of a status.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from knarr.base.clock import Instant
from knarr.client.client import Json


class Condition(Protocol):
    @property
    def type(self) -> str: ...
    @property
    def status(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def last_transition_time(self) -> Instant | None: ...


C = TypeVar("C", bound=Condition)


def find(conditions: Iterable[C], name: str) -> C | None:
    return next((condition for condition in conditions if condition.type == name), None)


def with_condition(conditions: Sequence[C], new: C) -> Sequence[C]:
    """The conditions with `new` in place of its namesake."""
    old = find(conditions, new.type)
    if old is not None and (old.status, old.reason) == (new.status, new.reason):
        return conditions
    if old is not None and old.status == new.status:
        new = msgspec.structs.replace(new, last_transition_time=old.last_transition_time)  # type: ignore[type-var]  # lenses are Structs
    return [*without(conditions, new.type), new]


def without(conditions: Sequence[C], name: str) -> Sequence[C]:
    return [condition for condition in conditions if condition.type != name]


def encode(conditions: Iterable[Any]) -> list[Json]:
    """As JSON, zero values left out."""
    return [
        {key: value for key, value in msgspec.to_builtins(condition).items() if value or key == "status"}
        for condition in conditions
    ]


def moment(now: Instant) -> Instant:
    """`now` as metav1.Time holds it: whole seconds."""
    return now.replace(microsecond=0)


def pruned(status: Json, keep: frozenset[str] = frozenset()) -> Json:
    """A status without its zero values, but for the fields that are always written."""
    return {key: value for key, value in status.items() if value not in (0, "", None, [], {}) or key in keep}
