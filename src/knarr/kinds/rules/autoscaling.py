"""Cross-field checks of HorizontalPodAutoscaler and PodDisruptionBudget. Texts are upstream's."""

from collections.abc import Iterator
from typing import Any

from knarr.base.errors import Cause
from knarr.kinds.rules import numbers
from knarr.objects import faults

Json = dict[str, Any]


def autoscaler(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    least, most = spec.get("minReplicas"), spec.get("maxReplicas", 0)
    if least is not None and least < 1:
        yield faults.invalid("spec.minReplicas", least, "must be greater than or equal to 1")
    if most < 1:
        yield faults.invalid("spec.maxReplicas", most, "must be greater than 0")
    if least is not None and most < least:
        yield faults.invalid("spec.maxReplicas", most, "must be greater than or equal to `minReplicas`")


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
