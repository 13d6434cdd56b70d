"""Cross-field checks of Service: what each type asks for, ports, families of addresses, traffic. Texts are upstream's.

Not here: allocation of addresses and node ports (admission), which changes an update may make (immutability.py).
"""

from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import addresses, numbers
from knarr.objects import faults, names

Json = dict[str, Any]
AFFINITY_SECONDS_MAX: Final = 86400
DISTRIBUTIONS: Final = ("PreferClose", "PreferSameNode", "PreferSameZone")
FAMILIES: Final = {"IPv4": 4, "IPv6": 6}
# Fields that upstream's paths write otherwise.
PATHS: Final = {"loadBalancerSourceRanges": "LoadBalancerSourceRanges"}
HINTS, MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
RANGES: Final = "service.beta.kubernetes.io/load-balancer-source-ranges"
ONLY_LOAD_BALANCERS: Final = ("loadBalancerClass", "allocateLoadBalancerNodePorts", "loadBalancerSourceRanges")


def service(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    annotations = found["metadata"].get("annotations") or {}
    if MODE in annotations and annotations.get(HINTS, annotations[MODE]) != annotations[MODE]:
        detail = f"must match annotations[{HINTS}] when both are specified"
        yield faults.invalid(f"metadata.annotations[{MODE}]", annotations[MODE], detail)
    kind, address = spec.get("type"), spec.get("clusterIP", "")
    ports = spec.get("ports") or []
    if not ports and kind != "ExternalName" and address != "None":
        yield faults.required("spec.ports")
    if kind == "ExternalName":
        yield from _external_name(spec)
    else:
        yield from _families(spec)
    if kind in ("NodePort", "LoadBalancer") and address == "None":
        yield faults.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    yield from _addresses(spec)
    yield from numbers.labels(spec.get("selector"), "spec.selector")
    yield from _affinity(spec)
    yield from _traffic(spec)
    yield from _load_balancer(spec)
    if RANGES in annotations and not spec.get("loadBalancerSourceRanges"):
        yield from _annotated_ranges(annotations[RANGES], spec)
    yield from _ports(ports, spec)


def _external_name(spec: Json) -> Iterator[Cause]:
    if not spec.get("externalName"):
        yield faults.required("spec.externalName")
    else:
        name = spec["externalName"].removesuffix(".")
        yield from faults.each("spec.externalName", spec["externalName"], names.dns_subdomain(name))
    for key in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if spec.get(key) or (key == "clusterIPs" and spec.get("clusterIP")):
            yield faults.forbidden(f"spec.{key}", "may not be set for ExternalName services")


def _families(spec: Json) -> Iterator[Cause]:
    """At most two, of different families, and addresses that are of them."""
    given, assigned = spec.get("ipFamilies") or [], spec.get("clusterIPs") or []
    if len(given) > 2:
        yield faults.invalid("spec.ipFamilies", given, "may only hold up to 2 values")
    for index, family in enumerate(given):
        if family not in FAMILIES:
            yield faults.unsupported(f"spec.ipFamilies[{index}]", family, FAMILIES)
        elif family in given[:index]:
            yield faults.duplicate(f"spec.ipFamilies[{index}]", family)
    if len(assigned) > 2:
        yield faults.invalid("spec.clusterIPs", assigned, "may only hold up to 2 values")
    first = spec.get("clusterIP", "")
    if assigned and first != assigned[0]:
        yield faults.invalid("spec.clusterIPs", assigned, "first value must match `clusterIP`")
    if len(assigned) > 1 and "None" in assigned:
        yield faults.invalid("spec.clusterIPs", assigned, "'None' must be the first and only value")
    for index, (text, family) in enumerate(zip(assigned, given, strict=False)):
        address = addresses.parsed(text)
        if address is not None and family in FAMILIES and address.version != FAMILIES[family]:
            detail = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            yield faults.invalid(f"spec.clusterIPs[{index}]", text, detail)
    if len(assigned) == 2:
        kinds = [each.version for text in assigned if (each := addresses.parsed(text)) is not None]
        if len(kinds) == 2 and kinds[0] == kinds[1]:
            detail = "may specify no more than one IP for each IP family"
            yield faults.invalid("spec.clusterIPs", assigned, detail)


def _addresses(spec: Json) -> Iterator[Cause]:
    for index, text in enumerate(spec.get("clusterIPs") or ([spec["clusterIP"]] if spec.get("clusterIP") else ())):
        if text != "None":
            yield from addresses.address(text, f"spec.clusterIPs[{index}]")
    for index, text in enumerate(spec.get("externalIPs") or ()):
        yield from addresses.address(text, f"spec.externalIPs[{index}]")
        yield from addresses.reachable(text, f"spec.externalIPs[{index}]")


def _affinity(spec: Json) -> Iterator[Cause]:
    kind, config = spec.get("sessionAffinity"), spec.get("sessionAffinityConfig")
    field = "spec.sessionAffinityConfig"
    if kind == "None" and config is not None:
        yield faults.forbidden(field, "must not be set when session affinity is None")
    elif kind == "ClientIP" and config is not None:
        client = config.get("clientIP")
        if client is None:
            yield faults.required(f"{field}.clientIP", "when session affinity type is ClientIP")
            return
        seconds = client.get("timeoutSeconds")
        if seconds is None:
            detail = "when session affinity type is ClientIP"
            yield faults.required(f"{field}.clientIP.timeoutSeconds", detail)
        elif not 0 < seconds <= AFFINITY_SECONDS_MAX:
            detail = f"must be greater than 0 and less than {AFFINITY_SECONDS_MAX}"
            yield faults.invalid(f"{field}.clientIP.timeoutSeconds", seconds, detail)


def _traffic(spec: Json) -> Iterator[Cause]:
    kind, policy = spec.get("type"), spec.get("externalTrafficPolicy")
    is_external = kind in ("LoadBalancer", "NodePort") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))
    if policy and not is_external:
        detail = "may only be set for externally-accessible services"
        yield faults.invalid("spec.externalTrafficPolicy", policy, detail)
    if spec.get("healthCheckNodePort"):
        if kind != "LoadBalancer" or policy != "Local":
            detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            yield faults.invalid("spec.healthCheckNodePort", spec["healthCheckNodePort"], detail)
        else:
            yield from numbers.port(spec["healthCheckNodePort"], "spec.healthCheckNodePort")
    if spec.get("trafficDistribution") and spec["trafficDistribution"] not in DISTRIBUTIONS:
        yield faults.unsupported("spec.trafficDistribution", spec["trafficDistribution"], DISTRIBUTIONS)


def _load_balancer(spec: Json) -> Iterator[Cause]:
    if spec.get("type") != "LoadBalancer":
        for key in ONLY_LOAD_BALANCERS:
            if spec.get(key) is not None:
                yield faults.forbidden(f"spec.{PATHS.get(key, key)}", "may only be used when `type` is 'LoadBalancer'")
        return
    if spec.get("loadBalancerClass"):
        name = spec["loadBalancerClass"]
        yield from faults.each("spec.loadBalancerClass", name, names.qualified(name))
    for index, text in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        yield from addresses.cidr(text.strip(), f"spec.LoadBalancerSourceRanges[{index}]")


def _annotated_ranges(text: str, spec: Json) -> Iterator[Cause]:
    """Ranges as they were said before there was a field for them."""
    field = f"metadata.annotations[{RANGES}]"
    if spec.get("type") != "LoadBalancer":
        yield faults.forbidden(field, "may only be used when `type` is 'LoadBalancer'")
    for each in text.split(",") if text.strip() else ():
        yield from addresses.cidr(each.strip(), field)


def _ports(ports: list[Json], spec: Json) -> Iterator[Cause]:
    seen_names: set[str] = set()
    seen: set[tuple[Any, Any]] = set()
    node_ports: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        field = f"spec.ports[{index}]"
        yield from _port_name(port, field, seen_names, is_needed=len(ports) > 1)
        yield from numbers.port(port.get("port", 0), f"{field}.port")
        if port.get("targetPort") not in (None, ""):
            yield from numbers.port_or_name(port["targetPort"], f"{field}.targetPort")
        if port.get("appProtocol"):
            yield from faults.each(f"{field}.appProtocol", port["appProtocol"], names.qualified(port["appProtocol"]))
        if port.get("nodePort"):
            yield from _node_port(port, spec, field, node_ports)
        key = (port.get("port"), port.get("protocol"))
        if key in seen:
            yield faults.duplicate(field, {"port": key[0], "protocol": key[1]})
        seen.add(key)


def _port_name(port: Json, field: str, seen: set[str], *, is_needed: bool) -> Iterator[Cause]:
    name = port.get("name", "")
    if name:
        yield from faults.each(f"{field}.name", name, names.dns_label(name))
        if name in seen:
            yield faults.duplicate(f"{field}.name", name)
        seen.add(name)
    elif is_needed:
        yield faults.required(f"{field}.name")


def _node_port(port: Json, spec: Json, field: str, seen: set[tuple[Any, Any]]) -> Iterator[Cause]:
    if spec.get("type") == "ClusterIP":
        yield faults.forbidden(f"{field}.nodePort", "may not be used when `type` is 'ClusterIP'")
    used = (port["nodePort"], port.get("protocol"))
    if used in seen:
        yield faults.duplicate(f"{field}.nodePort", port["nodePort"])
    seen.add(used)
