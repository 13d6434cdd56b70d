"""Cross-field checks of ResourceQuota and LimitRange: names of resources, scopes, amounts. Texts are upstream's."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import amounts
from knarr.objects import faults, names, quantity

Json = dict[str, Any]
# What a quota without a prefix may count, beside `count/…`.
COUNTED: Final = frozenset(
    (
        "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.storage",
        "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage", "pods",
        "resourcequotas",
        "services", "replicationcontrollers", "secrets", "persistentvolumeclaims", "configmaps", "services.nodeports",
        "services.loadbalancers",
    )
)  # fmt: skip
# Resources that come in whole units.
WHOLE: Final = frozenset(
    (
        "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps",
        "persistentvolumeclaims", "services.nodeports", "services.loadbalancers",
    )
)  # fmt: skip
_PODS: Final = frozenset(("pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"))
_CLAIMED: Final = frozenset(("persistentvolumeclaims", "requests.storage"))
# Scope → the resources that it may be applied to.
SCOPES: Final[Mapping[str, frozenset[str]]] = {
    "BestEffort": frozenset(("pods",)),
    "NotBestEffort": _PODS,
    "Terminating": _PODS,
    "NotTerminating": _PODS,
    "PriorityClass": _PODS,
    "CrossNamespacePodAffinity": _PODS,
    "VolumeAttributesClass": _CLAIMED,
}
ONLY_EXISTS: Final = frozenset(SCOPES) - {"PriorityClass", "VolumeAttributesClass"}
OPPOSED: Final = (frozenset(("BestEffort", "NotBestEffort")), frozenset(("Terminating", "NotTerminating")))
EXISTS_TEXT: Final = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)
LIMIT_TYPES: Final = ("Pod", "Container", "PersistentVolumeClaim")
LIMITS: Final = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")
# A field whose amount is too small or too large: (the field, the smaller side, the larger side, the text, the value
# that is shown).
ORDERS: Final = (
    ("min", "min", "max", "min value {low} is greater than max value {high}", "min"),
    ("defaultRequest", "min", "defaultRequest", "min value {low} is greater than default request value {high}",
     "defaultRequest"),
    ("defaultRequest", "defaultRequest", "max", "default request value {low} is greater than max value {high}",
     "defaultRequest"),
    ("defaultRequest", "defaultRequest", "default",
     "default request value {low} is greater than default limit value {high}", "defaultRequest"),
    ("default", "min", "default", "min value {low} is greater than default value {high}", "min"),
    ("default", "default", "max", "default value {low} is greater than max value {high}", "max"),
)  # fmt: skip


def is_standard(name: str) -> bool:
    return name in COUNTED or name.startswith((amounts.HUGE_PAGES, "requests.hugepages-"))


def resource_quota(quota: Json) -> Iterator[Cause]:
    spec = quota.get("spec") or {}
    yield from _amounts(spec.get("hard") or {}, "spec.hard")
    if spec.get("scopes"):
        yield from _scopes(spec["scopes"], spec)
    if spec.get("scopeSelector") is not None:
        yield from _selector(spec["scopeSelector"], spec)


def quota_status(new: Json, old: Json) -> Iterator[Cause]:
    for key in ("hard", "used"):
        yield from _amounts((new.get("status") or {}).get(key) or {}, f"status.{key}")


def quota_change(new: Json, old: Json) -> Iterator[Cause]:
    given, held = ((each.get("spec") or {}).get("scopes") or [] for each in (new, old))
    if {*given} != {*held}:
        yield faults.invalid("spec.scopes", given, faults.IMMUTABLE)


def _amounts(hard: Mapping[str, str], field: str) -> Iterator[Cause]:
    for name, amount in hard.items():
        path = f"{field}[{name}]"
        yield from faults.each(path, name, names.qualified(name))
        if "/" not in name and not is_standard(name):
            if name not in amounts.STANDARD:
                yield faults.invalid(path, name, "must be a standard resource type or fully qualified")
            yield faults.invalid(path, name, "must be a standard resource for quota")
        if amount.startswith("-"):
            yield faults.invalid(path, amount, faults.NON_NEGATIVE)
        is_whole = name in WHOLE or not names.extended_resource(name)
        if is_whole and quantity.parse(amount).denominator != 1:
            yield faults.invalid(path, amount, "must be an integer")


def _applies(scope: str, hard: Mapping[str, str]) -> bool:
    """May the scope be applied to all that is counted? What has a prefix (`count/pods`) is anybody's."""
    allowed = SCOPES.get(scope, frozenset())
    return all(name in allowed or not is_standard(name) for name in hard)


def _unfit(scopes: Iterable[str], spec: Json) -> set[str]:
    """The known scopes that may not be applied to all that is counted."""
    return {scope for scope in SCOPES.keys() & {*scopes} if not _applies(scope, spec.get("hard") or {})}


def _scopes(scopes: list[str], spec: Json) -> Iterator[Cause]:
    # Each fault quotes the whole list, so it is told once, not once per scope.
    if not SCOPES.keys() >= {*scopes}:
        yield faults.invalid("spec.scopes", scopes, "unsupported scope")
    if _unfit(scopes, spec):
        yield faults.invalid("spec.scopes", scopes, "unsupported scope applied to resource")
    yield from _opposed(scopes, spec)


def _opposed(scopes: list[str], spec: Json) -> Iterator[Cause]:
    for pair in OPPOSED:
        if pair <= {*scopes}:
            yield faults.invalid("spec.scopes", spec.get("scopes") or [], "conflicting scopes")


def _selector(selector: Json, spec: Json) -> Iterator[Cause]:
    field = "spec.scopeSelector.matchExpressions"
    expressions = selector.get("matchExpressions") or ()
    if _unfit((each.get("scopeName", "") for each in expressions), spec):
        yield faults.invalid(field, selector, "unsupported scope applied to resource")
    for each in expressions:
        scope, operator = each.get("scopeName", ""), each.get("operator", "")
        values = each.get("values") or []
        if scope not in SCOPES:
            yield faults.invalid(f"{field}.scopeName", scope, "unsupported scope")
        if scope in ONLY_EXISTS and operator != "Exists":
            yield faults.invalid(f"{field}.operator", operator, EXISTS_TEXT)
        if operator in ("In", "NotIn"):
            if not values:
                detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                yield faults.required(f"{field}.values", detail)
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                yield faults.invalid(f"{field}.values", values, detail)
        else:
            yield faults.invalid(f"{field}.operator", operator, "not a valid selector operator")
    yield from _opposed([each.get("scopeName", "") for each in expressions], spec)


def limit_range(found: Json) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, item in enumerate((found.get("spec") or {}).get("limits") or ()):
        field, kind = f"spec.limits[{index}]", item.get("type", "")
        yield from _limit_type(kind, f"{field}.type")
        if kind in seen:
            yield faults.duplicate(f"{field}.type", kind)
        seen.add(kind)
        yield from _limit(item, field)


def _limit_type(kind: str, field: str) -> Iterator[Cause]:
    wrong = names.qualified(kind)
    yield from faults.each(field, kind, wrong)
    if not wrong and "/" not in kind and kind not in LIMIT_TYPES:
        yield faults.invalid(field, kind, "must be a standard limit type or fully qualified")


def _limit(item: Json, field: str) -> Iterator[Cause]:
    kind = item.get("type", "")
    sides = {key: item.get(key) or {} for key in LIMITS}
    for key in ("default", "defaultRequest"):
        if kind == "Pod" and sides[key]:
            yield faults.forbidden(f"{field}.{key}", "may not be specified when `type` is 'Pod'")
            sides[key] = {}
    for key, listed in sides.items():
        for name in listed:
            yield from _limited(kind, name, f"{field}.{key}[{name}]")
    if kind == "PersistentVolumeClaim" and "storage" not in sides["min"] and "storage" not in sides["max"]:
        detail = "either minimum or maximum storage value is required, but neither was provided"
        yield faults.required(f"{field}.limits", detail)
    for name in sorted({name for listed in sides.values() for name in listed}):
        yield from _ordered(name, {key: listed[name] for key, listed in sides.items() if name in listed}, field)


def _limited(kind: str, name: str, field: str) -> Iterator[Cause]:
    """May a limit of this type name the resource?"""
    if kind in ("Pod", "Container"):
        if name not in amounts.OF_CONTAINERS:
            yield from amounts.name_of_container(name, field)
        return
    wrong = names.qualified(name)
    yield from faults.each(field, name, wrong)
    if not wrong and "/" not in name and name not in amounts.STANDARD and not name.startswith(amounts.HUGE_PAGES):
        yield faults.invalid(field, name, "must be a standard resource type or fully qualified")


def _ordered(name: str, given: Mapping[str, str], field: str) -> Iterator[Cause]:
    for at, low, high, text, shown in ORDERS:
        if low in given and high in given and quantity.compare(given[low], given[high]) > 0:
            detail = text.format(low=given[low], high=given[high])
            yield faults.invalid(f"{field}.{at}[{name}]", given[shown], detail)
    ratio, path = given.get("maxLimitRequestRatio"), f"{field}.maxLimitRequestRatio[{name}]"
    if ratio is not None:
        if quantity.compare(ratio, "1") < 0:
            yield faults.invalid(path, ratio, f"ratio {ratio} is less than 1")
        least, most = (quantity.parse(given.get(key, "0")) for key in ("min", "max"))
        if "min" in given and "max" in given and least and quantity.parse(ratio) > most / least:
            yield faults.invalid(path, ratio, f"ratio {ratio} is greater than max/min = {float(most / least):f}")
    default, request = given.get("default"), given.get("defaultRequest")
    if default is None or request is None or amounts.may_be_overcommitted(name):
        return
    if quantity.compare(default, request):
        detail = f"default value {default} must equal to defaultRequest value {request} in {name}"
        yield faults.invalid(f"{field}.defaultRequest[{name}]", request, detail)
