"""Pod-level resources: what a pod as a whole asks for where its author said only a part of it. Pure, in place.

Only once `spec.resources` names something; the rest follows from what the containers ask for: the sum of all that runs
together, or the worst moment of initialising. Rows of the table of defaults that need arithmetic; defaults.py calls
them. Spec: "Pod-level resource specification", defaulting.
"""

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any, Final

from knarr.objects import quantity

Json = dict[str, Any]
Amounts = Mapping[str, str]
SHARED: Final = ("cpu", "memory")
"""The resources that a pod as a whole may have, beside huge pages."""
HUGE_PAGES: Final = "hugepages-"
_ZERO: Final = Fraction()


def fill_huge_page_limits(pod: Json) -> None:
    """Limits of huge pages are those of the containers together, unless the pod requests some."""
    own = _own(pod)
    if own is None:
        return
    limits = dict(own.get("limits") or {})
    for name, amount in _together(pod["spec"], "limits").items():
        if name.startswith(HUGE_PAGES) and name not in (own.get("requests") or {}):
            limits.setdefault(name, amount)
    if limits:
        own["limits"] = limits


def fill_requests(pod: Json) -> None:
    """Beside limits: what the containers request together, else the limit."""
    own = _own(pod)
    if own is None or not own.get("limits"):
        return
    requests = dict(own.get("requests") or {})
    for name, amount in _together(pod["spec"], "requests").items():
        if name in SHARED:
            requests.setdefault(name, amount)
    for name, amount in own["limits"].items():
        if _is_shared(name):
            requests.setdefault(name, amount)
    if requests:
        own["requests"] = requests


def fill_limits(pod: Json) -> None:
    """Beside requests and without any limit: what the containers are limited to, if all of them are."""
    own = _own(pod)
    if own is None or own.get("limits"):
        return
    spec = pod["spec"]
    listed = [each for key in ("containers", "initContainers") for each in spec.get(key) or ()]
    limits = {
        name: amount
        for name, amount in _together(spec, "limits").items()
        if name in SHARED and all(name in _amounts(each, "limits") for each in listed)
    }
    if limits:
        own["limits"] = limits


def is_set(spec: Json) -> bool:
    """Whether the pod as a whole names a resource that it may have."""
    own = spec.get("resources")
    if not isinstance(own, dict):
        return False
    named = (*(own.get("limits") or ()), *(own.get("requests") or ()))
    return any(map(_is_shared, named))


def amounts(spec: Json, side: str) -> Amounts:
    """What a pod asks for as a whole, or at most where it does not say so; without overhead."""
    own = _amounts(spec, side)
    return {**_together(spec, side), **{name: own[name] for name in own if _is_shared(name)}}


RULES: Final[Mapping[str, Callable[[Json], None]]] = {
    "pod-level-hugepages-limits": fill_huge_page_limits,
    "pod-level-requests": fill_requests,
    "pod-level-limits": fill_limits,
}
"""Rule of the table of defaults → what it does to a pod."""


def _own(pod: Json) -> Json | None:
    """The pod's own resources; None if they name nothing."""
    spec = pod.get("spec") or {}
    return spec["resources"] if is_set(spec) else None


def _is_shared(name: str) -> bool:
    return name in SHARED or name.startswith(HUGE_PAGES)


def _amounts(container: Json, side: str) -> Amounts:
    amounts: Amounts = (container.get("resources") or {}).get(side) or {}
    return amounts


def _together(spec: Json, side: str) -> dict[str, str]:
    """What the containers need at once: all of them and the sidecars, or one init container and the sidecars so far."""
    like: dict[str, str] = {}
    mains = _sum((_amounts(each, side) for each in spec.get("containers") or ()), like)
    helpers: dict[str, Fraction] = {}
    peak: dict[str, Fraction] = {}
    for each in spec.get("initContainers") or ():
        needed = _added(_sum([_amounts(each, side)], like), helpers)
        if each.get("restartPolicy") == "Always":
            helpers = needed
        peak = {name: max(peak.get(name, _ZERO), needed.get(name, _ZERO)) for name in peak | needed}
    running = _added(mains, helpers)
    return {
        name: quantity.text(max(running.get(name, _ZERO), peak.get(name, _ZERO)), like=like[name])
        for name in running | peak
    }


def _added(left: Mapping[str, Fraction], right: Mapping[str, Fraction]) -> dict[str, Fraction]:
    return {name: left.get(name, _ZERO) + right.get(name, _ZERO) for name in {**left, **right}}


def _sum(listed: Iterable[Amounts], like: dict[str, str]) -> dict[str, Fraction]:
    """The amounts by name added up; `like` remembers how each was written."""
    found: dict[str, Fraction] = {}
    for amounts in listed:
        for name, amount in amounts.items():
            like.setdefault(name, amount)
            found[name] = found.get(name, _ZERO) + quantity.parse(amount)
    return found
