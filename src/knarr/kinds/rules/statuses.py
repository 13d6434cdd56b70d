"""Checks of statuses: counts that are below zero or above what they are part of, phases, conditions.

Only what upstream judges in a status; the rest is the controllers'. Texts are upstream's.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import conditions, numbers
from knarr.objects import faults, names

Json = dict[str, Any]
Change = Callable[[Json, Json], Iterator[Cause]]
# What a count may not exceed: (the field, the whole, how upstream calls the whole).
Bounds = tuple[tuple[str, str, str], ...]
_REPLICAS: Final = "status.replicas"


def _counts(fields: tuple[str, ...], bounds: Bounds) -> Change:
    """Judges the counts of a status."""

    def change(new: Json, old: Json) -> Iterator[Cause]:
        status = new.get("status") or {}
        for key in (*fields, "observedGeneration"):
            yield from numbers.non_negative(status.get(key), f"status.{key}")
        for key, whole, called in bounds:
            count = status.get(key) or 0
            if count > max(status.get(whole) or 0, 0):
                yield faults.invalid(f"status.{key}", count, f"cannot be greater than {called}")
        given, held = status.get("collisionCount"), (old.get("status") or {}).get("collisionCount")
        if held is not None and (given is None or given < held):
            yield faults.invalid("status.collisionCount", given or 0, "cannot be decremented")

    return change


replicas: Final = _counts(
    ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas", "terminatingReplicas"),
    (
        ("fullyLabeledReplicas", "replicas", _REPLICAS),
        ("readyReplicas", "replicas", _REPLICAS),
        ("availableReplicas", "replicas", _REPLICAS),
        ("availableReplicas", "readyReplicas", "readyReplicas"),
    ),
)
deployment: Final = _counts(
    ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "unavailableReplicas", "terminatingReplicas"),
    (
        ("updatedReplicas", "replicas", _REPLICAS),
        ("readyReplicas", "replicas", _REPLICAS),
        ("availableReplicas", "replicas", _REPLICAS),
        ("availableReplicas", "readyReplicas", "readyReplicas"),
    ),
)
stateful_set: Final = _counts(
    ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"),
    (
        ("readyReplicas", "replicas", _REPLICAS),
        ("currentReplicas", "replicas", _REPLICAS),
        ("updatedReplicas", "replicas", _REPLICAS),
        ("availableReplicas", "replicas", _REPLICAS),
        ("availableReplicas", "readyReplicas", "status.readyReplicas"),
    ),
)
daemon_set: Final = _counts(
    (
        "currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady",
        "updatedNumberScheduled", "numberAvailable", "numberUnavailable",
    ),
    (),
)  # fmt: skip
_budget: Final = _counts(("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"), ())
autoscaler: Final = _counts(("currentReplicas", "desiredReplicas"), ())


def disruption_budget(new: Json, old: Json) -> Iterator[Cause]:
    yield from _budget(new, old)
    yield from conditions.each((new.get("status") or {}).get("conditions"), "status.conditions")


def flow(new: Json, old: Json) -> Iterator[Cause]:
    """Of a FlowSchema or a PriorityLevelConfiguration: each type of condition once."""
    seen: set[str] = set()
    for index, condition in enumerate((new.get("status") or {}).get("conditions") or ()):
        kind, field = condition.get("type", ""), f"status.conditions[{index}].type"
        if kind in seen:
            yield faults.duplicate(field, kind)
        seen.add(kind)
        if not kind:
            yield faults.required(field, "must not be empty")


def namespace(new: Json, old: Json) -> Iterator[Cause]:
    phase, is_deleted = (new.get("status") or {}).get("phase", ""), "deletionTimestamp" in new["metadata"]
    wanted, state = ("Terminating", "is not empty") if is_deleted else ("Active", "is empty")
    if phase != wanted:
        detail = f"may only be '{wanted}' if `deletionTimestamp` {state}"
        yield faults.invalid("status.Phase", phase, detail)


def namespace_create(found: Json) -> Iterator[Cause]:
    for name in (found.get("spec") or {}).get("finalizers") or ():
        yield from _finalizer(name, "spec.finalizers")


def namespace_finalizers(new: Json, old: Json) -> Iterator[Cause]:
    for index, name in enumerate((new.get("spec") or {}).get("finalizers") or ()):
        yield from _finalizer(name, f"spec.finalizers[{index}]")


def _finalizer(name: str, field: str) -> Iterator[Cause]:
    yield from faults.each(field, name, names.qualified(name))
    if "/" not in name and name not in ("kubernetes", "orphan", "foregroundDeletion"):
        detail = "name is neither a standard finalizer name nor is it fully qualified"
        yield faults.invalid(field, name, detail)
