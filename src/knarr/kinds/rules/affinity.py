"""Checks of where a pod may run: node and pod affinity, topology spread. Texts are upstream's."""

from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import numbers
from knarr.objects import faults, names

Json = dict[str, Any]
REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"
EMPTY: Final = "can not be empty"


def of_pod(affinity: Json, field: str) -> Iterator[Cause]:
    node = affinity.get("nodeAffinity") or {}
    if REQUIRED in node:
        yield from node_selector(node[REQUIRED], f"{field}.nodeAffinity.{REQUIRED}")
    for index, term in enumerate(node.get(PREFERRED) or ()):
        path = f"{field}.nodeAffinity.{PREFERRED}[{index}]"
        yield from _weight(term, path)
        # A value that no label can have does no harm here, so upstream lets it be.
        yield from node_term(term.get("preference") or {}, f"{path}.preference", are_values_judged=False)
    for kind in ("podAffinity", "podAntiAffinity"):
        held = affinity.get(kind) or {}
        for index, term in enumerate(held.get(REQUIRED) or ()):
            yield from _pod_term(term, f"{field}.{kind}.{REQUIRED}[{index}]")
        for index, term in enumerate(held.get(PREFERRED) or ()):
            path = f"{field}.{kind}.{PREFERRED}[{index}]"
            yield from _weight(term, path)
            yield from _pod_term(term.get("podAffinityTerm") or {}, f"{path}.podAffinityTerm")


def _weight(term: Json, field: str) -> Iterator[Cause]:
    if not 1 <= term.get("weight", 0) <= 100:
        yield faults.invalid(f"{field}.weight", term.get("weight", 0), "must be in the range 1-100")


def node_selector(selector: Json, field: str) -> Iterator[Cause]:
    """A NodeSelector: at least one term."""
    terms = selector.get("nodeSelectorTerms") or ()
    if not terms:
        yield faults.required(f"{field}.nodeSelectorTerms", "must have at least one node selector term")
    for index, term in enumerate(terms):
        yield from node_term(term, f"{field}.nodeSelectorTerms[{index}]")


def node_term(term: Json, field: str, *, are_values_judged: bool = True) -> Iterator[Cause]:
    for index, requirement in enumerate(term.get("matchExpressions") or ()):
        path = f"{field}.matchExpressions[{index}]"
        yield from _by_label(requirement, path)
        for at, value in enumerate((requirement.get("values") or ()) if are_values_judged else ()):
            yield from faults.each(f"{path}.values[{at}]", value, names.label_value(value))
    for index, requirement in enumerate(term.get("matchFields") or ()):
        yield from _by_field(requirement, f"{field}.matchFields[{index}]")


def _by_label(requirement: Json, field: str) -> Iterator[Cause]:
    operator, values = requirement.get("operator", ""), requirement.get("values") or ()
    match operator:
        case "In" | "NotIn":
            if not values:
                yield faults.required(f"{field}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        case "Exists" | "DoesNotExist":
            if values:
                detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                yield faults.forbidden(f"{field}.values", detail)
        case "Gt" | "Lt":
            if len(values) != 1:
                detail = "must be specified single value when `operator` is 'Lt' or 'Gt'"
                yield faults.required(f"{field}.values", detail)
        case _:
            yield faults.invalid(f"{field}.operator", operator, "not a valid selector operator")
    key = requirement.get("key", "")
    if key:
        yield from faults.each(f"{field}.key", key, names.qualified(key))


def _by_field(requirement: Json, field: str) -> Iterator[Cause]:
    operator, values = requirement.get("operator", ""), requirement.get("values") or ()
    if operator not in ("In", "NotIn"):
        yield faults.invalid(f"{field}.operator", operator, "not a valid selector operator")
    elif len(values) != 1:
        detail = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        yield faults.required(f"{field}.values", detail)
    if requirement.get("key") != "metadata.name":
        yield faults.invalid(f"{field}.key", requirement.get("key", ""), "not a valid field selector key")
        return
    for index, value in enumerate(values):
        yield from faults.each(f"{field}.values[{index}]", value, names.dns_subdomain(value))


def _pod_term(term: Json, field: str) -> Iterator[Cause]:
    yield from numbers.label_selector(term.get("labelSelector"), f"{field}.labelSelector")
    yield from numbers.label_selector(term.get("namespaceSelector"), f"{field}.namespaceSelector")
    for name in term.get("namespaces") or ():
        yield from faults.each(f"{field}.namespace", name, names.dns_label(name))
    yield from _keys(term, "matchLabelKeys", field)
    yield from _keys(term, "mismatchLabelKeys", field)
    mismatched = frozenset(term.get("mismatchLabelKeys") or ())
    for index, key in enumerate(term.get("matchLabelKeys") or ()):
        if key in mismatched:
            detail = "exists in both matchLabelKeys and mismatchLabelKeys"
            yield faults.invalid(f"{field}.matchLabelKeys[{index}]", key, detail)
    yield from _topology_key(term, field)


def _topology_key(found: Json, field: str) -> Iterator[Cause]:
    key = found.get("topologyKey", "")
    if not key:
        yield faults.required(f"{field}.topologyKey", EMPTY)
    else:
        yield from faults.each(f"{field}.topologyKey", key, names.qualified(key))


def _keys(found: Json, name: str, field: str) -> Iterator[Cause]:
    """Keys whose values are the pod's own; they narrow a selector, so there must be one."""
    keys = found.get(name) or ()
    if keys and found.get("labelSelector") is None:
        yield faults.forbidden(f"{field}.{name}", "must not be specified when labelSelector is not set")
    for index, key in enumerate(keys):
        yield from faults.each(f"{field}.{name}[{index}]", key, names.qualified(key))


def spreads(constraints: list[Json], field: str) -> Iterator[Cause]:
    """All topology spread constraints of a pod."""
    seen: set[tuple[Any, Any]] = set()
    for index, constraint in enumerate(constraints):
        path = f"{field}[{index}]"
        yield from numbers.above_zero(constraint.get("maxSkew", 0), f"{path}.maxSkew")
        yield from _topology_key(constraint, path)
        yield from numbers.label_selector(constraint.get("labelSelector"), f"{path}.labelSelector")
        yield from _keys(constraint, "matchLabelKeys", path)
        yield from _said_twice(constraint, path)
        yield from _least_domains(constraint, path)
        pair = (constraint.get("topologyKey", ""), constraint.get("whenUnsatisfiable", ""))
        if pair in seen:
            shown = f"{{{pair[0]}, {pair[1]}}}"
            yield faults.duplicate(f"{path}.{{topologyKey, whenUnsatisfiable}}", shown)
        seen.add(pair)


def _said_twice(constraint: Json, field: str) -> Iterator[Cause]:
    selector = constraint.get("labelSelector") or {}
    said = {*(selector.get("matchLabels") or {})} | {each.get("key") for each in selector.get("matchExpressions") or ()}
    for index, key in enumerate(constraint.get("matchLabelKeys") or ()):
        if key in said:
            detail = "exists in both matchLabelKeys and labelSelector"
            yield faults.invalid(f"{field}.matchLabelKeys[{index}]", key, detail)


def _least_domains(constraint: Json, field: str) -> Iterator[Cause]:
    least, otherwise = constraint.get("minDomains"), constraint.get("whenUnsatisfiable", "")
    if least is None:
        return
    yield from numbers.above_zero(least, f"{field}.minDomains")
    if otherwise != "DoNotSchedule":
        detail = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {otherwise}"
        yield faults.invalid(f"{field}.minDomains", least, detail)
