"""Checks of a Job's status: counts, indexes, times and conditions that contradict each other. Texts are upstream's.

A Job may be managed by others than the server's own controller (`managedBy`), so the server holds the rules. What did
not change is not judged again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from knarr.base import clock
from knarr.base.errors import Cause, Invalid
from knarr.kinds.rules import job_policies, numbers
from knarr.objects import faults

Json = dict[str, Any]
COUNTS: Final = ("active", "succeeded", "failed", "ready", "terminating")
CONDITIONS: Final = "status.conditions"
TERMINAL: Final = ("Failed", "Complete", "FailureTarget")
# Two conditions that exclude each other, and what is said of both.
OPPOSED: Final = (
    ("Complete", "Failed", "cannot set Complete=True and Failed=true conditions"),
    ("Complete", "FailureTarget", "cannot set Complete=True and FailureTarget=true conditions"),
    ("SuccessCriteriaMet", "Failed", "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
    ("SuccessCriteriaMet", "FailureTarget", "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions"),
)
# A condition, the one that comes before it, and what is said without that.
BEFORE: Final = (
    ("Failed", "FailureTarget", "cannot set Failed=True condition without the FailureTarget=true condition"),
    ("Complete", "SuccessCriteriaMet", "cannot set Complete=True condition without the SuccessCriteriaMet=true "
     "condition"),
)  # fmt: skip
# What a finished Job has none of, and what is said of some.
LEFT: Final = (
    ("active", "active>0 is invalid for finished job"),
    ("terminating", "terminating>0 is invalid for finished job"),
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A status and the one before it, and the spec of both."""

    spec: Json
    now: Json
    was: Json

    def has_changed(self, *keys: str) -> bool:
        return any((self.now.get(key) or None) != (self.was.get(key) or None) for key in keys)

    def is_true(self, name: str) -> bool:
        return _is_true(self.now, name)

    def has_turned(self, *names: str) -> bool:
        """Has one of the conditions become true, or untrue?"""
        return any(_is_true(self.now, name) is not _is_true(self.was, name) for name in names)

    @property
    def is_finished(self) -> bool:
        return self.is_true("Complete") or self.is_true("Failed")


def _is_true(status: Json, name: str) -> bool:
    return any(
        each.get("type") == name and each.get("status") == "True" for each in status.get("conditions") or ()
    )  # fmt: skip


def job_status(new: Json, old: Json) -> Iterator[Cause]:
    pair = Pair(new.get("spec") or {}, new.get("status") or {}, old.get("status") or {})
    for key in COUNTS:
        yield from numbers.non_negative(pair.now.get(key), f"status.{key}")
    yield from _uncounted(pair.now.get("uncountedTerminatedPods") or {})
    yield from _conditions(pair)
    yield from _times(pair)
    yield from _finished(pair)
    yield from _indexes(pair)
    ready, active = pair.now.get("ready"), pair.now.get("active") or 0
    if pair.has_changed("ready", "active") and ready is not None and ready > active:
        yield faults.invalid("status.ready", ready, "cannot set more ready pods than active")
    yield from _shrunk(pair)


def _uncounted(uncounted: Json) -> Iterator[Cause]:
    """Each pod once, whichever way it ended."""
    seen: set[str] = set()
    for key in ("succeeded", "failed"):
        for index, uid in enumerate(uncounted.get(key) or ()):
            field = f"status.uncountedTerminatedPods.{key}[{index}]"
            if not uid:
                yield faults.invalid(field, uid, "must not be empty")
            elif uid in seen:
                yield faults.duplicate(field, uid)
            seen.add(uid)


def _conditions(pair: Pair) -> Iterator[Cause]:
    for one, other, text in OPPOSED:
        if pair.has_turned(one, other) and pair.is_true(one) and pair.is_true(other):
            yield faults.bad(CONDITIONS, text)
    for one, before, text in BEFORE:
        if pair.has_turned(one, before) and pair.is_true(one) and not pair.is_true(before):
            yield faults.bad(CONDITIONS, text)
    for name in TERMINAL:
        if _is_true(pair.was, name) and not pair.is_true(name):
            yield faults.bad(CONDITIONS, f"cannot disable the terminal {name}=True condition")
    if _is_true(pair.was, "SuccessCriteriaMet") and not pair.is_true("SuccessCriteriaMet"):
        yield faults.bad(CONDITIONS, "cannot disable the SuccessCriteriaMet=True condition")
    if _is_true(pair.was, "Complete") and pair.has_turned("SuccessCriteriaMet") and pair.is_true("SuccessCriteriaMet"):
        text = "cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions"
        yield faults.bad(CONDITIONS, text)


def _times(pair: Pair) -> Iterator[Cause]:
    start, end, field = pair.now.get("startTime"), pair.now.get("completionTime"), "status.completionTime"
    is_complete = pair.is_true("Complete")
    if pair.has_turned("Complete") or pair.has_changed("completionTime"):
        if end and not is_complete:
            yield faults.invalid(field, end, "cannot set completionTime when there is no Complete=True condition")
        elif is_complete and not end:
            yield faults.required(field, "completionTime is required for Complete jobs")
    if pair.has_changed("startTime", "completionTime") and start and end and _is_before(end, start):
        yield faults.invalid(field, end, "completionTime cannot be set before startTime")
    if end and pair.was.get("completionTime") and pair.has_changed("completionTime"):
        yield faults.invalid(field, end, "completionTime cannot be mutated")
    if pair.was.get("startTime") and pair.has_changed("startTime") and not pair.spec.get("suspend"):
        yield faults.required("status.startTime", "startTime cannot be removed for unsuspended job")


def _is_before(one: str, other: str) -> bool:
    """Whether one time is before another; texts do not tell, for they have fractions and zones."""
    try:
        return clock.parse_rfc3339(one.upper()) < clock.parse_rfc3339(other.upper())
    except ValueError:  # no such day
        return False


def _finished(pair: Pair) -> Iterator[Cause]:
    if not pair.is_finished:
        return
    has_turned = pair.has_turned("Complete", "Failed")
    for key, text in LEFT:
        if (has_turned or pair.has_changed(key)) and (pair.now.get(key) or 0) > 0:
            yield faults.invalid(f"status.{key}", pair.now[key], text)
    is_nothing = bool(pair.spec.get("suspend")) and pair.spec.get("completions") == 0
    if (has_turned or pair.has_changed("startTime")) and not pair.now.get("startTime") and not is_nothing:
        yield faults.required("status.startTime", "startTime is required for finished job")
    uncounted = pair.now.get("uncountedTerminatedPods") or {}
    if (has_turned or pair.has_changed("uncountedTerminatedPods")) and any(uncounted.values()):
        detail = "uncountedTerminatedPods needs to be empty for finished job"
        yield faults.invalid("status.uncountedTerminatedPods", uncounted, detail)


def _indexes(pair: Pair) -> Iterator[Cause]:
    completions = pair.spec.get("completions")
    texts = {key: pair.now.get(key) for key in ("completedIndexes", "failedIndexes")}
    for key, text in texts.items():
        if text and pair.has_changed(key) and completions is not None:
            try:
                job_policies.how_many(text, completions)
            except Invalid as error:
                yield faults.invalid(f"status.{key}", text, f"error parsing {key}: {error}")
    done = texts["completedIndexes"]
    if done and pair.has_changed("completedIndexes") and pair.spec.get("completionMode") != "Indexed":
        detail = "cannot set non-empty completedIndexes when non-indexed completion mode"
        yield faults.invalid("status.completedIndexes", done, detail)
    failed = texts["failedIndexes"]
    if failed is not None and pair.has_changed("failedIndexes") and pair.spec.get("backoffLimitPerIndex") is None:
        detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        yield faults.invalid("status.failedIndexes", failed, detail)
    if failed and done and completions is not None and pair.has_changed("completedIndexes", "failedIndexes"):
        shared = job_policies.overlap(done, failed, completions)
        if shared is not None:
            detail = f"failedIndexes and completedIndexes overlap at index: {shared}"
            yield faults.invalid("status.failedIndexes", failed, detail)


def _shrunk(pair: Pair) -> Iterator[Cause]:
    """Counters only grow; successes of a Job that is scaled with its completions may go."""
    is_elastic = pair.spec.get("completions") == pair.spec.get("parallelism")
    for key in ("failed",) if is_elastic else ("failed", "succeeded"):
        count = pair.now.get(key) or 0
        if count < (pair.was.get(key) or 0):
            yield faults.invalid(f"status.{key}", count, f"cannot decrease the {key} counter")
