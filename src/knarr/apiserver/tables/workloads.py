"""Cells of jobs, autoscalers, revisions, quotas and events."""

from typing import Any

from knarr.apiserver.tables import durations
from knarr.base import clock
from knarr.base.clock import Instant

Json = dict[str, Any]


def _true(conditions: Any, kind: str) -> bool:
    return any(each.get("type") == kind and each.get("status") == "True" for each in conditions or ())


def job_status(job: Json, now: Instant) -> str:
    conditions = (job.get("status") or {}).get("conditions")
    if _true(conditions, "Complete"):
        return "Complete"
    if _true(conditions, "Failed"):
        return "Failed"
    if job["metadata"].get("deletionTimestamp"):
        return "Terminating"
    if _true(conditions, "Suspended"):
        return "Suspended"
    return "FailureTarget" if _true(conditions, "FailureTarget") else "Running"


def job_completions(job: Json, now: Instant) -> str:
    spec, status = job.get("spec") or {}, job.get("status") or {}
    succeeded, parallelism = status.get("succeeded") or 0, spec.get("parallelism") or 0
    if spec.get("completions") is not None:
        return f"{succeeded}/{spec['completions']}"
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def job_duration(job: Json, now: Instant) -> str:
    status = job.get("status") or {}
    if not status.get("startTime"):
        return ""
    end = status.get("completionTime")
    until = clock.parse_rfc3339(end) if end else now
    return durations.human(durations.between(status["startTime"], until))


def hpa_targets(scaler: Json, now: Instant) -> str:
    spec, status = scaler.get("spec") or {}, scaler.get("status") or {}
    if "metrics" not in spec:  # autoscaling/v1
        target = spec.get("targetCPUUtilizationPercentage")
        current = status.get("currentCPUUtilizationPercentage")
        return "" if target is None else f"cpu: {_or_unknown(current, '%')}/{target}%"
    metrics, currents = spec.get("metrics") or (), status.get("currentMetrics") or ()
    texts = [_metric(metric, currents[i] if i < len(currents) else {}) for i, metric in enumerate(metrics)]
    if len(texts) > 2:
        return f"{', '.join(texts[:2])} + {len(texts) - 2} more..."
    return ", ".join(texts)


def _or_unknown(value: Any, unit: str = "") -> str:
    return durations.UNKNOWN if value is None else f"{value}{unit}"


def _metric(metric: Json, current: Json) -> str:
    key = {"ContainerResource": "containerResource"}.get(metric.get("type", ""), str(metric.get("type", "")).lower())
    source = metric.get(key) or {}
    target, held = source.get("target") or {}, (current.get(key) or {}).get("current") or {}
    name = f"{source['name']}: " if key in ("resource", "containerResource") and source.get("name") else ""
    if target.get("averageUtilization") is not None:
        return f"{name}{_or_unknown(held.get('averageUtilization'), '%')}/{target['averageUtilization']}%"
    if target.get("averageValue") is not None:
        unit = " (avg)" if key in ("object", "external") else ""
        return f"{name}{_or_unknown(held.get('averageValue'))}/{target['averageValue']}{unit}"
    return f"{name}{_or_unknown(held.get('value'))}/{target.get('value', '')}"


def quota(which: str) -> Any:
    is_limits = which == "limits"

    def cell(quota: Json, now: Instant) -> str:
        status = quota.get("status") or {}
        hard, used = status.get("hard") or {}, status.get("used") or {}
        chosen = [name for name in sorted(hard) if name.startswith("limits.") == is_limits]
        return ", ".join(f"{name}: {used.get(name, '0')}/{hard[name]}" for name in chosen)

    return cell


def controller_owner(revision: Json, now: Instant) -> str:
    for owner in revision["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            group = owner.get("apiVersion", "").rpartition("/")[0]
            kind = owner.get("kind", "").lower()
            return f"{kind}.{group}/{owner['name']}" if group else f"{kind}/{owner['name']}"
    return ""


def event_last_seen(event: Json, now: Instant) -> str:
    series = event.get("series") or {}
    seen = (
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("deprecatedLastTimestamp")
        or _first_seen(event)
    )
    return durations.since(seen, now)


def _first_seen(event: Json) -> Any:
    return event.get("firstTimestamp") or event.get("deprecatedFirstTimestamp") or event.get("eventTime")


def event_first_seen(event: Json, now: Instant) -> str:
    return durations.since(_first_seen(event), now)


def event_count(event: Json, now: Instant) -> int:
    count = (event.get("series") or {}).get("count") or event.get("count") or event.get("deprecatedCount") or 1
    return int(count)


def event_object(event: Json, now: Instant) -> str:
    reference = event.get("involvedObject") or event.get("regarding") or {}
    kind = reference.get("kind", "").lower()
    return f"{kind}/{reference['name']}" if reference.get("name") else kind


def event_source(event: Json, now: Instant) -> str:
    source = event.get("source") or event.get("deprecatedSource") or {}
    component = source.get("component") or event.get("reportingComponent") or event.get("reportingController") or ""
    host = source.get("host") or ("" if source.get("component") else event.get("reportingInstance") or "")
    return f"{component}, {host}" if host else component
