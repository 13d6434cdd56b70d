"""What may change in a Service: addresses and families stay, but for a second one that comes or goes.

A Service that becomes or was an ExternalName has none. Texts are upstream's.
"""

from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import balancers
from knarr.objects import faults

Json = dict[str, Any]
ONCE_SET: Final = "may not change once set"


def service_change(new: Json, old: Json) -> Iterator[Cause]:
    given, held = new.get("spec") or {}, old.get("spec") or {}
    if "ExternalName" not in (given.get("type"), held.get("type")):
        if not (_is_headless(given) and _is_headless(held)):
            yield from _listed("clusterIPs", "clusterIP", (_addresses(given), _addresses(held)), given)
        if not _is_headless(given) and not _is_headless(held):
            families = given.get("ipFamilies") or [], held.get("ipFamilies") or []
            yield from _listed("ipFamilies", "ipFamily", families, given)
    if given.get("type") == held.get("type") == "LoadBalancer":
        name = given.get("loadBalancerClass")
        if name != held.get("loadBalancerClass"):
            yield faults.invalid("spec.loadBalancerClass", name, ONCE_SET)
        ports = [each.get("healthCheckNodePort", 0) for each in (given, held)]
        is_local = all(each.get("externalTrafficPolicy") == "Local" for each in (given, held))
        # A port that was left out is the server's to give.
        if is_local and ports[0] != ports[1] and all(ports):
            yield faults.forbidden("spec.healthCheckNodePort", faults.IMMUTABLE)


def _addresses(spec: Json) -> list[str]:
    return spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else [])


def _is_headless(spec: Json) -> bool:
    return _addresses(spec) == ["None"]


def _listed(key: str, name: str, pair: tuple[list[str], list[str]], spec: Json) -> Iterator[Cause]:
    """The faults of a list whose first entry stays, and whose second may come, or go with a policy that says so."""
    given, held = pair
    field = f"spec.{key}"
    if held and not given:
        yield faults.invalid(f"{field}[0]", given, f"primary {name} can not be unset")
        return
    for index, (now, was) in enumerate(zip(given, held, strict=False)):
        if now != was:
            yield faults.invalid(f"{field}[{index}]", given, ONCE_SET)
    policy = spec.get("ipFamilyPolicy")
    if len(held) > len(given) == 1 and policy != "SingleStack":
        detail = f"must be set to 'SingleStack' when releasing the secondary {name}"
        yield faults.invalid("spec.ipFamilyPolicy", policy, detail)


def service_status(new: Json, old: Json) -> Iterator[Cause]:
    field = "status.loadBalancer.ingress"
    if (new.get("spec") or {}).get("type") != "LoadBalancer" and balancers.entries(new):
        yield faults.forbidden(field, "may only be used when `spec.type` is 'LoadBalancer'")
        return
    yield from balancers.addresses_of(new, field)
    yield from balancers.modes_of(new, field)
