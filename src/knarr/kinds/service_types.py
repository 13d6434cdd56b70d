"""What a Service's type uses of its spec, and what is dropped from a Service whose type no longer uses it. Pure.

Dropped is only what the client did not change: whoever names a field that the type does not use is refused
(rules/service.py). Spec: "Service", type values.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

Json = dict[str, Any]


def _type(spec: Json) -> str:
    return spec.get("type") or "ClusterIP"


def _is_balanced(spec: Json) -> bool:
    return _type(spec) == "LoadBalancer"


def _has_node_ports(spec: Json) -> bool:
    return _type(spec) in ("NodePort", "LoadBalancer")


def _is_reached_from_outside(spec: Json) -> bool:
    return _has_node_ports(spec) or (_type(spec) == "ClusterIP" and bool(spec.get("externalIPs")))


def _has_address(spec: Json) -> bool:
    return _type(spec) != "ExternalName"


def needs_health_port(spec: Json) -> bool:
    return _is_balanced(spec) and spec.get("externalTrafficPolicy") == "Local"


# Field → which Services use it.
USED: Final[Mapping[str, Callable[[Json], bool]]] = {
    "clusterIP": _has_address,
    "clusterIPs": _has_address,
    "ipFamilies": _has_address,
    "ipFamilyPolicy": _has_address,
    "healthCheckNodePort": needs_health_port,
    "allocateLoadBalancerNodePorts": _is_balanced,
    "loadBalancerClass": _is_balanced,
    "externalTrafficPolicy": _is_reached_from_outside,
}


def without_unused(spec: Json, old: Json) -> Json:
    """The spec without what only the old one's type used, where it is still what it was."""
    kept = {
        key: value
        for key, value in spec.items()
        if key not in USED or USED[key](spec) or not USED[key](old) or value != old.get(key)
    }
    ports, before = (_node_ports(each) for each in (spec, old))
    if ports and ports == before and _has_node_ports(old) and not _has_node_ports(spec):
        kept["ports"] = [{key: value for key, value in port.items() if key != "nodePort"} for port in spec["ports"]]
    return kept


def _node_ports(spec: Json) -> set[int]:
    return {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}
