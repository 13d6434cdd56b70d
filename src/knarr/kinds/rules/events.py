"""Checks of Events: an event names an object of its own namespace, and who reports it. Texts are upstream's.

Events of the group events.k8s.io are judged strictly, by `strict` and `strict_change`; those of the core group as ever.
Both are stored as core Events, so fields have that version's names.
"""

from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.objects import faults, names

Json = dict[str, Any]
LENGTH_MAX: Final = 128
MESSAGE_MAX: Final = 1024
SHORT: Final = ("reportingInstance", "action", "reason")
NO_NAMESPACE: Final = "does not match event.namespace"
# What a strict event has no use for, and what no update of one may change.
UNSET: Final = ("firstTimestamp", "lastTimestamp", "count")
FIXED: Final = (
    "involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "type", "eventTime",
    "action", "related", "reportingComponent", "reportingInstance",
)  # fmt: skip
SHOWN: Final = {"reportingComponent": "reportingController"}


def event(found: Json) -> Iterator[Cause]:
    """What every event must be."""
    namespace = found["metadata"].get("namespace", "")
    about = (found.get("involvedObject") or {}).get("namespace", "")
    if not found.get("eventTime"):
        if namespace != about and (about or namespace != "default"):
            yield faults.invalid("involvedObject.namespace", about, NO_NAMESPACE)
    else:
        if not about and namespace not in ("default", "kube-system"):
            yield faults.invalid("involvedObject.namespace", about, NO_NAMESPACE)
        yield from _report(found)


def _report(found: Json) -> Iterator[Cause]:
    controller = found.get("reportingComponent", "")
    if not controller:
        yield faults.required("reportingController")
    yield from faults.each("reportingController", controller, names.qualified(controller))
    for key in SHORT:
        if not found.get(key):
            yield faults.required(key)
        elif len(found[key].encode()) > LENGTH_MAX:
            yield faults.invalid(key, "", f"can have at most {LENGTH_MAX} characters")
    if len(found.get("message", "").encode()) > MESSAGE_MAX:
        yield faults.invalid("message", "", f"can have at most {MESSAGE_MAX} characters")


def strict(found: Json) -> Iterator[Cause]:
    """What a new event of events.k8s.io must be beside that."""
    yield from _series(found)
    if not found.get("eventTime"):
        yield faults.required("eventTime")
    if found.get("type") not in ("Normal", "Warning"):
        yield faults.invalid("type", "", f"has invalid value: {found.get('type', '')}")
    for key in UNSET:
        if found.get(key):
            yield faults.invalid(key, "", "needs to be unset")
    if any((found.get("source") or {}).values()):
        yield faults.invalid("source", "", "needs to be unset")


def _series(found: Json) -> Iterator[Cause]:
    series = found.get("series")
    if series is None:
        return
    if series.get("count", 0) < 2:
        yield faults.invalid("series.count", "", "should be at least 2")
    if not series.get("lastObservedTime"):
        yield faults.required("series.lastObservedTime")


def strict_change(new: Json, old: Json) -> Iterator[Cause]:
    """Only the series of an event goes on."""
    if new.get("series") != old.get("series"):
        yield from _series(new)
    for key in FIXED:
        if (new.get(key) or None) != (old.get(key) or None):
            yield faults.invalid(SHOWN.get(key, key), new.get(key), faults.IMMUTABLE)
