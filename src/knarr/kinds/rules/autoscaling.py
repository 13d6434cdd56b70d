"""Cross-field checks of HorizontalPodAutoscaler (both versions) and PodDisruptionBudget. Texts are upstream's."""

from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import numbers
from knarr.objects import faults, names, quantity

Json = dict[str, Any]
WINDOW_SECONDS_MAX: Final = 3600
PERIOD_SECONDS_MAX: Final = 1800
SELECT_POLICIES: Final = ("Disabled", "Max", "Min")
# Type of a metric → the field that says which.
METRICS: Final = {
    "ContainerResource": "containerResource",
    "External": "external",
    "Object": "object",
    "Pods": "pods",
    "Resource": "resource",
}


def autoscaler(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    least, most = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    if least is not None and least < 1:
        yield faults.invalid("spec.minReplicas", least, "must be greater than or equal to 1")
    if most < 1:
        yield faults.invalid("spec.maxReplicas", most, "must be greater than 0")
    if least is not None and most < least:
        yield faults.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")
    yield from _reference(spec.get("scaleTargetRef") or {}, "spec.scaleTargetRef")
    utilization = spec.get("targetCPUUtilizationPercentage")
    yield from numbers.positive(utilization, "spec.targetCPUUtilizationPercentage")
    for index, metric in enumerate(spec.get("metrics") or ()):
        yield from _metric(metric, f"spec.metrics[{index}]")
    for direction in ("scaleUp", "scaleDown"):
        rules = (spec.get("behavior") or {}).get(direction)
        if rules is not None:
            yield from _scaling(rules, f"spec.behavior.{direction}")


def _reference(reference: Json, field: str) -> Iterator[Cause]:
    for key in ("kind", "name"):
        if not reference.get(key):
            yield faults.required(f"{field}.{key}")
        else:
            yield from faults.each(f"{field}.{key}", reference[key], names.path_segment(reference[key]))


def _metric(metric: Json, field: str) -> Iterator[Cause]:
    kind = metric.get("type", "")
    if not kind:
        yield faults.required(f"{field}.type", "must specify a metric source type")
    elif kind not in METRICS:
        yield faults.unsupported(f"{field}.type", kind, METRICS)
    wanted = METRICS.get(kind, "")
    for key in METRICS.values():
        if key in metric and key != wanted:
            yield faults.forbidden(f"{field}.{key}", "must populate the given metric source only")
    if not wanted:
        return
    source, path = metric.get(wanted), f"{field}.{wanted}"
    if source is None:
        yield faults.required(path, "must populate information for the given metric source")
        return
    if wanted in ("resource", "containerResource"):
        yield from _of_resource(source, path)
    else:
        yield from _identifier(source.get("metric") or {}, f"{path}.metric")
    if wanted == "containerResource":
        name = source.get("container", "")
        if not name:
            yield faults.required(f"{path}.container", "must specify a container")
        else:
            yield from faults.each(f"{path}.container", name, names.dns_label(name))
    if wanted == "object":
        yield from _reference(source.get("describedObject") or {}, f"{path}.describedObject")
    target = source.get("target") or {}
    yield from _target(target, f"{path}.target")
    yield from _fitting(wanted, target, f"{path}.target")


def _of_resource(source: Json, field: str) -> Iterator[Cause]:
    if not source.get("name"):
        yield faults.required(f"{field}.name", "must specify a resource name")


def _identifier(metric: Json, field: str) -> Iterator[Cause]:
    name = metric.get("name", "")
    if not name:
        yield faults.required(f"{field}.name", "must specify a metric name")
    else:
        yield from faults.each(f"{field}.name", name, names.path_segment(name))
    yield from numbers.label_selector(metric.get("selector"), f"{field}.selector")


def _target(target: Json, field: str) -> Iterator[Cause]:
    kind = target.get("type", "")
    if not kind:
        yield faults.required(f"{field}.type", "must specify a metric target type")
    if kind not in ("Utilization", "Value", "AverageValue"):
        yield faults.invalid(f"{field}.type", kind, "must be either Utilization, Value, or AverageValue")
    for key in ("value", "averageValue"):
        if key in target and quantity.parse(target[key]) <= 0:
            yield faults.invalid(f"{field}.{key}", target[key], "must be positive")
    yield from numbers.positive(target.get("averageUtilization"), f"{field}.averageUtilization")


def _fitting(kind: str, target: Json, field: str) -> Iterator[Cause]:
    """Which of the three numbers a source of this kind can use."""
    has_value, has_average, has_utilization = (key in target for key in ("value", "averageValue", "averageUtilization"))
    match kind:
        case "pods":
            if not has_average:
                yield faults.required(f"{field}.averageValue", "must specify a positive target averageValue")
        case "object":
            if not has_value and not has_average:
                yield faults.required(f"{field}.averageValue", "must set either a target value or averageValue")
        case "external":
            if not has_value and not has_average:
                detail = "must set either a target value for metric or a per-pod target"
                yield faults.required(f"{field}.averageValue", detail)
            elif has_value and has_average:
                detail = "may not set both a target value for metric and a per-pod target"
                yield faults.forbidden(f"{field}.value", detail)
        case _:
            if not has_utilization and not has_average:
                detail = "must set either a target raw value or a target utilization"
                yield faults.required(f"{field}.averageUtilization", detail)
            elif has_utilization and has_average:
                detail = "may not set both a target raw value and a target utilization"
                yield faults.forbidden(f"{field}.averageValue", detail)


def _scaling(rules: Json, field: str) -> Iterator[Cause]:
    window, path = rules.get("stabilizationWindowSeconds"), f"{field}.stabilizationWindowSeconds"
    if window is not None and window < 0:
        yield faults.invalid(path, window, "must be greater than or equal to zero")
    if window is not None and window > WINDOW_SECONDS_MAX:
        yield faults.invalid(path, window, f"must be less than or equal to {WINDOW_SECONDS_MAX}")
    policy = rules.get("selectPolicy")
    if policy is not None and policy not in SELECT_POLICIES:
        yield faults.unsupported(f"{field}.selectPolicy", policy, SELECT_POLICIES)
    if not rules.get("policies"):
        yield faults.required(f"{field}.policies", "must specify at least one Policy")
    for index, each in enumerate(rules.get("policies") or ()):
        yield from _policy(each, f"{field}.policies[{index}]")
    if str(rules.get("tolerance", "")).startswith("-"):
        yield faults.invalid(f"{field}.tolerance", rules["tolerance"], "must be greater than or equal to zero")


def _policy(policy: Json, field: str) -> Iterator[Cause]:
    if policy.get("type") not in ("Percent", "Pods"):
        yield faults.unsupported(f"{field}.type", policy.get("type", ""), ("Percent", "Pods"))
    yield from numbers.above_zero(policy.get("value", 0), f"{field}.value")
    seconds = policy.get("periodSeconds", 0)
    yield from numbers.above_zero(seconds, f"{field}.periodSeconds")
    if seconds > PERIOD_SECONDS_MAX:
        yield faults.invalid(f"{field}.periodSeconds", seconds, f"must be less than or equal to {PERIOD_SECONDS_MAX}")


def disruption_budget(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    if "minAvailable" in spec and "maxUnavailable" in spec:
        detail = "minAvailable and maxUnavailable cannot be both set"
        yield faults.invalid("spec", spec, detail)
    for key in ("minAvailable", "maxUnavailable"):
        if key in spec:
            yield from numbers.count_or_percent(spec[key], f"spec.{key}")
            yield from numbers.at_most_100_percent(spec[key], f"spec.{key}")
    yield from numbers.label_selector(spec.get("selector"), "spec.selector")
