"""Cross-field checks of workloads: selectors that match their template, replicas, update strategies."""

from collections.abc import Iterator
from typing import Any

from knarr.base.errors import Cause, Invalid
from knarr.kinds.rules import numbers, pod
from knarr.objects import faults, labels, names

Json = dict[str, Any]


def _template(spec: Json, kind: str) -> Iterator[Cause]:
    """`kind` is what upstream calls the owner."""
    template = spec.get("template") or {}
    # A StatefulSet's claims are volumes of its pods.
    claims = {(each.get("metadata") or {}).get("name", ""): each for each in spec.get("volumeClaimTemplates") or ()}
    yield from pod.template(template, "spec.template", claims)
    policy = (template.get("spec") or {}).get("restartPolicy")
    if policy and policy != "Always":
        yield faults.unsupported("spec.template.spec.restartPolicy", policy, ("Always",))
    if (template.get("spec") or {}).get("activeDeadlineSeconds") is not None:
        detail = f"activeDeadlineSeconds in {kind} is not Supported"
        yield faults.forbidden("spec.template.spec.activeDeadlineSeconds", detail)


def _selector(spec: Json, kind: str) -> Iterator[Cause]:
    selector = spec.get("selector")
    if selector is None:  # it selects nothing, and so not the template
        yield _mismatch(spec)
        return
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield faults.invalid("spec.selector", selector, f"empty selector is invalid for {kind}")
    yield from numbers.label_selector(selector, "spec.selector")
    yield from matches_template(selector, spec)


def matches_template(selector: Json, spec: Json) -> Iterator[Cause]:
    """A selector that is no selector is told elsewhere."""
    given = ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}
    try:
        is_matching = labels.of(selector).matches(given)
    except Invalid:
        return
    if not is_matching:
        yield _mismatch(spec)


def _mismatch(spec: Json) -> Cause:
    given = ((spec.get("template") or {}).get("metadata") or {}).get("labels")
    return faults.invalid("spec.template.metadata.labels", given, "`selector` does not match template `labels`")


def _counts(spec: Json, *keys: str) -> Iterator[Cause]:
    for key in keys:
        yield from numbers.non_negative(spec.get(key), f"spec.{key}")


def deployment(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    yield from _counts(spec, "replicas", "minReadySeconds", "revisionHistoryLimit")
    yield from _selector(spec, "deployment")
    yield from _template(spec, "ReplicaSet")
    yield from _strategy(spec.get("strategy") or {}, "spec.strategy")
    deadline = spec.get("progressDeadlineSeconds")
    if deadline is not None:
        yield from numbers.non_negative(deadline, "spec.progressDeadlineSeconds")
        if deadline <= spec.get("minReadySeconds", 0):
            yield faults.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")


def _strategy(strategy: Json, field: str) -> Iterator[Cause]:
    kind, rolling = strategy.get("type"), strategy.get("rollingUpdate")
    if kind == "Recreate":
        if rolling is not None:
            detail = "may not be specified when strategy `type` is 'Recreate'"
            yield faults.forbidden(f"{field}.rollingUpdate", detail)
    elif kind == "RollingUpdate":
        if rolling is None:
            yield faults.required(f"{field}.rollingUpdate", "this should be defaulted and never be nil")
        else:
            yield from _rolling(rolling, f"{field}.rollingUpdate")


def _rolling(rolling: Json, field: str) -> Iterator[Cause]:
    surge, unavailable = rolling.get("maxSurge", 0), rolling.get("maxUnavailable", 0)
    yield from numbers.count_or_percent(unavailable, f"{field}.maxUnavailable")
    yield from numbers.at_most_100_percent(unavailable, f"{field}.maxUnavailable")
    yield from numbers.count_or_percent(surge, f"{field}.maxSurge")
    if numbers.is_zero(unavailable) and numbers.is_zero(surge):
        yield faults.invalid(f"{field}.maxUnavailable", unavailable, "may not be 0 when `maxSurge` is 0")


def replica_set(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    yield from _counts(spec, "replicas", "minReadySeconds")
    yield from _selector(spec, "deployment")
    yield from _template(spec, "ReplicaSet")


def replication_controller(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    yield from _counts(spec, "replicas", "minReadySeconds")
    selector = spec.get("selector") or {}
    if not selector:
        yield faults.required("spec.selector")
    if spec.get("template") is None:
        yield faults.required("spec.template")
        return
    given = (spec["template"].get("metadata") or {}).get("labels") or {}
    if selector and not labels.equal(selector).matches(given):
        yield _mismatch(spec)
    yield from _template(spec, "ReplicationController")


def stateful_set(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    yield from _counts(spec, "replicas", "minReadySeconds", "revisionHistoryLimit")
    yield from _selector(spec, "statefulset")
    yield from _template(spec, "StatefulSet")
    policy = spec.get("podManagementPolicy")
    if policy not in ("OrderedReady", "Parallel"):
        detail = "must be 'OrderedReady' or 'Parallel'"
        yield faults.invalid("spec.podManagementPolicy", policy, detail)
    strategy = spec.get("updateStrategy") or {}
    rolling = strategy.get("rollingUpdate") or {}
    if strategy.get("type") == "OnDelete" and strategy.get("rollingUpdate") is not None:
        detail = "only allowed for updateStrategy 'RollingUpdate'"
        yield faults.invalid("spec.updateStrategy.rollingUpdate", rolling, detail)
    yield from numbers.non_negative(rolling.get("partition"), "spec.updateStrategy.rollingUpdate.partition")
    most, field = rolling.get("maxUnavailable"), "spec.updateStrategy.rollingUpdate.maxUnavailable"
    if most is not None:
        yield from numbers.count_or_percent(most, field)
        yield from numbers.at_most_100_percent(most, field)
        if numbers.is_zero(most):
            yield faults.invalid(field, most, "cannot be 0")
    start = (spec.get("ordinals") or {}).get("start")
    yield from numbers.non_negative(start, "spec.ordinals.start")
    if spec.get("serviceName"):
        yield from faults.each("spec.serviceName", spec["serviceName"], names.dns_subdomain(spec["serviceName"]))


def daemon_set(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    yield from _counts(spec, "minReadySeconds", "revisionHistoryLimit")
    yield from _selector(spec, "daemonset")
    yield from _template(spec, "DaemonSet")
    strategy = spec.get("updateStrategy") or {}
    if strategy.get("type") == "RollingUpdate":
        rolling = strategy.get("rollingUpdate") or {}
        surge, unavailable = rolling.get("maxSurge", 0), rolling.get("maxUnavailable", 0)
        field = "spec.updateStrategy.rollingUpdate"
        yield from numbers.count_or_percent(unavailable, f"{field}.maxUnavailable")
        yield from numbers.count_or_percent(surge, f"{field}.maxSurge")
        yield from numbers.at_most_100_percent(unavailable, f"{field}.maxUnavailable")
        yield from numbers.at_most_100_percent(surge, f"{field}.maxSurge")
        if numbers.is_zero(unavailable) and numbers.is_zero(surge):
            yield faults.required(f"{field}.maxUnavailable", "cannot be 0 when maxSurge is 0")
        if not numbers.is_zero(unavailable) and not numbers.is_zero(surge):
            yield faults.invalid(f"{field}.maxSurge", surge, "may not be set when maxUnavailable is non-zero")


def controller_revision(found: Json) -> Iterator[Cause]:
    if found.get("data") is None:
        yield faults.required("data", "data is mandatory")
    yield from numbers.non_negative(found.get("revision"), "revision")


def pod_template(found: Json) -> Iterator[Cause]:
    yield from pod.template(found.get("template") or {}, "template")
