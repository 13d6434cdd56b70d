"""Checks of requests and limits: names of resources, amounts, and how the two go together. Texts are upstream's."""

import heapq
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any, Final, NamedTuple

from knarr.base.errors import Cause, Invalid
from knarr.objects import faults, names, quantity

Json = dict[str, Any]
OF_CONTAINERS: Final = frozenset(("cpu", "memory", "ephemeral-storage"))
OF_PODS: Final = frozenset(("cpu", "memory"))
"""Resources that a pod as a whole may ask for, beside huge pages."""
STANDARD: Final = OF_CONTAINERS | frozenset(
    (
        "storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage", "requests.storage", "limits.cpu",
        "limits.memory", "limits.ephemeral-storage", "pods", "resourcequotas", "services", "replicationcontrollers",
        "secrets", "configmaps", "persistentvolumeclaims", "services.nodeports", "services.loadbalancers",
    )
)  # fmt: skip
HUGE_PAGES: Final = "hugepages-"
SHOWN_MAX: Final = 20
"""Names of claims that one fault lists: each of many faults may."""
NAME_MAX: Final = 63
"""Characters of such a name: a claim with a longer one is refused."""


class Claims(NamedTuple):
    """A pod's resource claims by name, and what is said of a name that is not among them."""

    names: frozenset[str]
    otherwise: str


_ELSE: Final = "must be one of the names in pod.spec.resourceClaims"
NO_CLAIMS: Final = Claims(frozenset(), f"{_ELSE} which is empty")


def claims_of(spec: Json) -> Claims:
    if not spec.get("resourceClaims"):
        return NO_CLAIMS
    known = frozenset(each.get("name", "") for each in spec["resourceClaims"])
    shown = ", ".join(name[:NAME_MAX] for name in heapq.nsmallest(SHOWN_MAX, known))
    return Claims(known, f"{_ELSE}: {shown}")


def of_container(given: Json, field: str, claims: Claims | None = None) -> Iterator[Cause]:
    """Requests and limits of a container; `claims` are the pod's."""
    limits, requests = given.get("limits") or {}, given.get("requests") or {}
    for side, listed in (("limits", limits), ("requests", requests)):
        for name, amount in listed.items():
            if name not in OF_CONTAINERS:
                yield from _other(name, amount, f"{field}.{side}[{name}]")
            if amount[0] == "-":  # canonical: nothing else is negative
                yield faults.invalid(f"{field}.{side}[{name}]", amount, faults.NON_NEGATIVE)
    yield from below_limits(requests, limits, field)
    if claims is not None and given.get("claims"):
        yield from _claims(given["claims"], claims, f"{field}.claims")


def below_limits(requests: Mapping[str, str], limits: Mapping[str, str], field: str) -> Iterator[Cause]:
    """No request above its limit; what cannot be overcommitted has both, and the same."""
    for name, amount in requests.items():
        limit = limits.get(name)
        if limit is None:
            if not may_be_overcommitted(name):
                detail = "Limit must be set for non overcommitable resources"
                yield faults.required(f"{field}.limits", detail)
        elif amount != limit and quantity.compare(amount, limit) > 0:
            detail = f"must be less than or equal to {name} limit of {limit}"
            yield faults.invalid(f"{field}.requests", amount, detail)
        elif amount != limit and not may_be_overcommitted(name) and quantity.compare(amount, limit):
            detail = f"must be equal to {name} limit of {limit}"
            yield faults.invalid(f"{field}.requests", amount, detail)
    has_pages = any(name.startswith(HUGE_PAGES) for side in (limits, requests) for name in side)
    if has_pages and not (OF_PODS & (limits.keys() | requests.keys())):
        yield faults.forbidden(field, "HugePages require cpu or memory")


def may_be_overcommitted(name: str) -> bool:
    return ("/" not in name or "kubernetes.io/" in name) and not name.startswith(HUGE_PAGES)


def _other(name: str, amount: str, field: str) -> Iterator[Cause]:
    """A resource of another name than the three plain ones, and how much of it."""
    yield from name_of_container(name, field)
    if name.startswith(HUGE_PAGES):
        yield from _pages(name, amount, field)
    elif "/" in name and "kubernetes.io/" not in name and quantity.parse(amount).denominator != 1:
        yield faults.invalid(field, amount, "must be an integer")


def name_of_container(name: str, field: str) -> Iterator[Cause]:
    """May a container name the resource?"""
    wrong = names.qualified(name)
    yield from faults.each(field, name, wrong)
    if name.startswith(HUGE_PAGES):
        return
    if "/" not in name:
        if name not in STANDARD and not wrong:
            yield faults.invalid(field, name, "must be a standard resource type or fully qualified")
        yield faults.invalid(field, name, "must be a standard resource for containers")
    elif "kubernetes.io/" not in name and names.extended_resource(name):
        yield faults.invalid(field, name, "doesn't follow extended resource name standard")


def _pages(name: str, amount: str, field: str) -> Iterator[Cause]:
    """Huge pages come in whole pages."""
    try:
        size = quantity.parse(name.removeprefix(HUGE_PAGES))
    except Invalid:
        size = quantity.parse("0")
    given = quantity.parse(amount)
    if size <= 0 or given < 0 or given % size:
        yield faults.invalid(field, amount, f"{amount} is not positive integer multiple of {name}")


def of_pod(given: Json, field: str, containers: list[Json]) -> Iterator[Cause]:
    """Requests and limits of a whole pod, which its containers share."""
    limits, requests = given.get("limits") or {}, given.get("requests") or {}
    for side, listed in (("limits", limits), ("requests", requests)):
        for name, amount in listed.items():
            path = f"{field}.{side}[{name}]"
            if name not in OF_PODS and not name.startswith(HUGE_PAGES):
                yield faults.unsupported(path, name, (*OF_PODS, "hugepages-"))
            if amount[0] == "-":
                yield faults.invalid(path, amount, faults.NON_NEGATIVE)
    if given.get("claims"):
        yield faults.forbidden(f"{field}.claims", "claims cannot be set for Resources at pod-level")
    yield from below_limits(requests, limits, field)
    for index, each in enumerate(containers):
        for name, amount in ((each.get("resources") or {}).get("limits") or {}).items():
            if name in limits and quantity.compare(amount, limits[name]) > 0:
                detail = f"must be less than or equal to pod limits of {limits[name]}"
                yield faults.invalid(f"{field}.containers[{index}][{name}].limits", amount, detail)
    totals = dict.fromkeys(requests, Fraction())
    for each in containers:
        for name, amount in ((each.get("resources") or {}).get("requests") or {}).items():
            if name in totals:
                totals[name] += quantity.parse(amount)
    for name, amount in requests.items():
        total = totals[name]
        if total > quantity.parse(amount):
            detail = f"must be greater than or equal to aggregate container requests of {quantity.text(total, amount)}"
            yield faults.invalid(f"{field}.requests[{name}]", amount, detail)


def _claims(claims: list[Json], known: Claims, field: str) -> Iterator[Cause]:
    seen: set[str] = set()
    partly: set[str] = set()
    for index, claim in enumerate(claims):
        name = claim.get("name", "")
        if name and name not in known.names:
            yield faults.not_found(f"{field}[{index}]", name, known.otherwise)
        key = f"{name}/{claim['request']}" if claim.get("request") else name
        # A claim as a whole is all of its requests.
        if key in seen or name in seen or (key == name and name in partly):
            yield faults.duplicate(f"{field}[{index}]", key)
        seen.add(key)
        partly.add(name)
