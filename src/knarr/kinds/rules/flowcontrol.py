"""Checks of FlowSchema and PriorityLevelConfiguration: what the API server could not follow is refused."""

import math
from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.objects import faults

Json = dict[str, Any]
PRECEDENCE_MAX: Final = 10_000
QUEUES_MAX: Final = 10_000_000
ENTROPY_BITS_MAX: Final = 60
EXEMPT: Final = "exempt"


def flow_schema(found: Json) -> Iterator[Cause]:
    spec, name = found.get("spec") or {}, found["metadata"].get("name", "")
    precedence = spec.get("matchingPrecedence", 0)
    field = "spec.matchingPrecedence"
    if precedence <= 0:
        yield faults.invalid(field, precedence, "must be a positive value")
    elif precedence > PRECEDENCE_MAX:
        yield faults.invalid(field, precedence, f"must not be greater than {PRECEDENCE_MAX}")
    elif precedence == 1 and name != EXEMPT:
        yield faults.invalid(field, precedence, "only the schema named 'exempt' may have matchingPrecedence 1")
    if not (spec.get("priorityLevelConfiguration") or {}).get("name"):
        yield faults.required("spec.priorityLevelConfiguration.name", "must reference a priority level")
    for index, rule in enumerate(spec.get("rules") or ()):
        yield from _rule(rule, f"spec.rules[{index}]")


def _rule(rule: Json, field: str) -> Iterator[Cause]:
    if not rule.get("subjects"):
        yield faults.required(f"{field}.subjects", "subjects must contain at least one value")
    for index, subject in enumerate(rule.get("subjects") or ()):
        part = {"User": "user", "Group": "group", "ServiceAccount": "serviceAccount"}.get(subject.get("kind", ""), "")
        if not part:
            yield faults.unsupported(
                f"{field}.subjects[{index}].kind", subject.get("kind"), ("Group", "ServiceAccount", "User")
            )
        elif not (subject.get(part) or {}).get("name"):
            detail = f"{part} is required when subject kind is '{subject['kind']}'"
            yield faults.required(f"{field}.subjects[{index}].{part}", detail)
    if not rule.get("resourceRules") and not rule.get("nonResourceRules"):
        yield faults.required(field, "at least one of resourceRules and nonResourceRules has to be non-empty")
    for index, each in enumerate(rule.get("resourceRules") or ()):
        yield from _filled(each, ("verbs", "apiGroups", "resources"), f"{field}.resourceRules[{index}]")
        if not each.get("namespaces") and not each.get("clusterScope"):
            detail = "resource rules that are not cluster scoped must supply at least one namespace"
            yield faults.required(f"{field}.resourceRules[{index}].namespaces", detail)
    for index, each in enumerate(rule.get("nonResourceRules") or ()):
        yield from _filled(each, ("verbs", "nonResourceURLs"), f"{field}.nonResourceRules[{index}]")


def _filled(rule: Json, names: tuple[str, ...], field: str) -> Iterator[Cause]:
    for name in names:
        values = rule.get(name)
        if not values:
            yield faults.required(f"{field}.{name}", f"{name} must contain at least one value")
        elif "*" in values and len(values) > 1:
            detail = f"if '*' is present, must not specify other {name}"
            yield faults.invalid(f"{field}.{name}", values, detail)


def priority_level(found: Json) -> Iterator[Cause]:
    spec, name = found.get("spec") or {}, found["metadata"].get("name", "")
    kind = spec.get("type", "")
    if (kind == "Exempt") != (name == EXEMPT):
        yield faults.invalid("spec.type", kind, "must be 'Exempt' if and only if `name` is 'exempt'")
    if kind == "Limited":
        if not spec.get("limited"):
            yield faults.required("spec.limited", "must not be empty when type is Limited")
        else:
            yield from _limited(spec["limited"])
        if spec.get("exempt"):
            yield faults.forbidden("spec.exempt", "must be nil if the type is Limited")
    elif kind == "Exempt" and spec.get("limited"):
        yield faults.forbidden("spec.limited", "must be nil if the type is not Limited")


def _limited(limited: Json) -> Iterator[Cause]:
    field = "spec.limited"
    shares, lendable = limited.get("nominalConcurrencyShares", 0), limited.get("lendablePercent", 0)
    if shares < 0:
        yield faults.invalid(f"{field}.nominalConcurrencyShares", shares, "must be a non-negative integer")
    if not 0 <= lendable <= 100:
        yield faults.invalid(f"{field}.lendablePercent", lendable, "must be between 0 and 100, inclusive")
    borrowing = limited.get("borrowingLimitPercent")
    if borrowing is not None and borrowing < 0:
        yield faults.invalid(
            f"{field}.borrowingLimitPercent", borrowing, "if specified, must be a non-negative integer"
        )
    response = limited.get("limitResponse") or {}
    queuing = response.get("queuing")
    match response.get("type"):
        case "Queue" if queuing:
            yield from _queuing(queuing, f"{field}.limitResponse.queuing")
        case "Queue":
            yield faults.required(f"{field}.limitResponse.queuing", "must not be empty if type is Queue")
        case "Reject" if queuing:
            yield faults.forbidden(
                f"{field}.limitResponse.queuing", "must be nil if limited.limitResponse.type is Reject"
            )
        case "Reject":
            pass
        case other:
            yield faults.unsupported(f"{field}.limitResponse.type", other, ("Queue", "Reject"))


def _queuing(queuing: Json, field: str) -> Iterator[Cause]:
    queues, hand, length = (queuing.get(name, 0) for name in ("queues", "handSize", "queueLengthLimit"))
    if queues <= 0:
        yield faults.invalid(f"{field}.queues", queues, "must be positive")
    elif queues > QUEUES_MAX:
        yield faults.invalid(f"{field}.queues", queues, f"must not be greater than {QUEUES_MAX}")
    if length <= 0:
        yield faults.invalid(f"{field}.queueLengthLimit", length, "must be positive")
    if hand <= 0:
        yield faults.invalid(f"{field}.handSize", hand, "must be positive")
    elif hand > queues:
        yield faults.invalid(f"{field}.handSize", hand, f"should not be greater than queues ({queues})")
    elif math.log2(queues) * hand > ENTROPY_BITS_MAX:
        text = f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than "
        yield faults.invalid(f"{field}.handSize", hand, f"{text}{ENTROPY_BITS_MAX}")
