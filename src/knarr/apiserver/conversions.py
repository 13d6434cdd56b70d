"""Conversions: kinds that are served in another version than the stored one. Rows of two pure functions.

Without a row only apiVersion and kind change: the two versions share their fields.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from knarr.apiserver.resources import Json, Resource
from knarr.wire import strict_json

METRICS: Final = "autoscaling.alpha.kubernetes.io/metrics"
BEHAVIOR: Final = "autoscaling.alpha.kubernetes.io/behavior"
# events.k8s.io/v1 field → core/v1 field; all others have the same name.
EVENT_FIELDS: Final = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_CORE_FIELDS: Final = {core: new for new, core in EVENT_FIELDS.items()}


def event_from_core(obj: Json) -> Json:
    """events.k8s.io/v1. Its eventTime is required, and clients generated from that (Python's `kubernetes`) refuse the
    null that upstream sends for an Event of core/v1: here it is when the Event was first seen."""
    served = _renamed(obj, _CORE_FIELDS)
    if not served.get("eventTime"):
        first = obj.get("firstTimestamp") or obj.get("lastTimestamp") or obj["metadata"].get("creationTimestamp", "")
        if first:
            served["eventTime"] = f"{first.removesuffix('Z')}.000000Z" if "." not in first else first
    return served


def event_to_core(obj: Json) -> Json:
    return {"involvedObject": {}, "source": {}, **_renamed(obj, EVENT_FIELDS)}


def _renamed(obj: Json, names: Mapping[str, str]) -> Json:
    return {names.get(key, key): value for key, value in obj.items()}


def autoscaler_from_v2(obj: Json) -> Json:
    """autoscaling/v1: the CPU metric is a field, all others and the behavior are annotations."""
    spec, metadata = dict(obj.get("spec") or {}), dict(obj["metadata"])
    metrics: list[Json] = spec.pop("metrics", None) or []
    others = []
    for metric in metrics:
        target = _cpu_target(metric)
        if target is not None and "targetCPUUtilizationPercentage" not in spec:
            spec["targetCPUUtilizationPercentage"] = target
        else:
            others.append(metric)
    for name, value in ((METRICS, others), (BEHAVIOR, spec.pop("behavior", None))):
        if value:
            text = msgspec.json.encode(value).decode()
            metadata["annotations"] = {**(metadata.get("annotations") or {}), name: text}
    return {**obj, "metadata": metadata, "spec": spec, "status": _status_v1(obj.get("status") or {})}


def _status_v1(status: Json) -> Json:
    kept = ("observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas")
    old = {key: status[key] for key in kept if key in status}
    for metric in status.get("currentMetrics") or ():
        current = (metric.get("resource") or {}).get("current") or {}
        if (metric.get("resource") or {}).get("name") == "cpu" and "averageUtilization" in current:
            old["currentCPUUtilizationPercentage"] = current["averageUtilization"]
    return old


def _cpu_target(metric: Json) -> Any:
    resource = metric.get("resource") or {}
    if metric.get("type") == "Resource" and resource.get("name") == "cpu":
        return (resource.get("target") or {}).get("averageUtilization")
    return None


def autoscaler_to_v2(obj: Json) -> Json:
    spec, metadata = dict(obj.get("spec") or {}), dict(obj["metadata"])
    percentage = spec.pop("targetCPUUtilizationPercentage", None)
    metrics: list[Json] = []
    if percentage is not None:
        target = {"type": "Utilization", "averageUtilization": percentage}
        metrics.append({"type": "Resource", "resource": {"name": "cpu", "target": target}})
    metrics += _unpacked(metadata, METRICS, list[dict[str, Any]]) or []
    behavior = _unpacked(metadata, BEHAVIOR, dict[str, Any])
    if metrics:
        spec["metrics"] = metrics
    if behavior:
        spec["behavior"] = behavior
    return {**obj, "metadata": metadata, "spec": spec, "status": _status_v2(obj.get("status") or {})}


def _unpacked(metadata: Json, name: str, form: Any) -> Any:
    """What an annotation holds, which is taken out of the caller's metadata; None when it holds nothing of the form."""
    annotations = metadata.get("annotations") or {}
    if name not in annotations:
        return None
    try:
        held = msgspec.json.decode(annotations[name], type=form)
    except strict_json.UNREADABLE:
        return None
    metadata["annotations"] = {key: value for key, value in annotations.items() if key != name}
    return held


def _status_v2(status: Json) -> Json:
    new = dict(status)
    percentage = new.pop("currentCPUUtilizationPercentage", None)
    if percentage is not None:
        current = {"averageUtilization": percentage}
        new["currentMetrics"] = [{"type": "Resource", "resource": {"name": "cpu", "current": current}}]
    return new


# (group, version, kind) of the served form → (from stored, to stored).
ROWS: Final[dict[tuple[str, str, str], tuple[Callable[[Json], Json], Callable[[Json], Json]]]] = {
    ("events.k8s.io", "v1", "Event"): (event_from_core, event_to_core),
    ("autoscaling", "v1", "HorizontalPodAutoscaler"): (autoscaler_from_v2, autoscaler_to_v2),
}


def served(resource: Resource, obj: Json) -> Json:
    """The object in the version of the resource."""
    if not resource.is_converted:
        return obj
    kind = resource.kind
    row = ROWS.get((kind.group, kind.version, kind.kind))
    converted = row[0](obj) if row else obj
    return {**converted, "apiVersion": kind.api_version, "kind": kind.kind}


def stored(resource: Resource, obj: Json) -> Json:
    """The object in the version of the store."""
    if not resource.is_converted:
        return obj
    kind = resource.kind
    row = ROWS.get((kind.group, kind.version, kind.kind))
    converted = row[1](obj) if row else obj
    return {**converted, "apiVersion": resource.stored.api_version, "kind": resource.stored.kind}
