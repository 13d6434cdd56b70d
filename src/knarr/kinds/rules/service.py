"""Cross-field checks of Service. Texts are upstream's."""

import ipaddress
from collections.abc import Iterator
from typing import Any

from knarr.base.errors import Cause
from knarr.kinds.rules import numbers
from knarr.objects import faults, names

Json = dict[str, Any]


def service(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    kind, address = spec.get("type"), spec.get("clusterIP", "")
    ports = spec.get("ports") or []
    if not ports and kind != "ExternalName" and address != "None":
        yield faults.required("spec.ports")
    if kind == "ExternalName":
        if not spec.get("externalName"):
            yield faults.required("spec.externalName")
        else:
            name = spec["externalName"].removesuffix(".")
            yield from faults.each("spec.externalName", spec["externalName"], names.dns_subdomain(name))
        if address:
            yield faults.forbidden("spec.clusterIP", "may not be set when `type` is 'ExternalName'")
    if kind in ("NodePort", "LoadBalancer") and address == "None":
        yield faults.invalid("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    if address and address != "None" and not _is_address(address):
        yield faults.invalid(
            "spec.clusterIPs[0]", address, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        )
    for key, value in (spec.get("selector") or {}).items():
        yield from faults.each("spec.selector", key, names.qualified(key))
        yield from faults.each("spec.selector", value, names.label_value(value))
    for index, each in enumerate(spec.get("externalIPs") or ()):
        if not _is_address(each):
            yield faults.invalid(f"spec.externalIPs[{index}]", each, "must be a valid IP address")
    yield from _ports(ports, spec)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _ports(ports: list[Json], spec: Json) -> Iterator[Cause]:
    seen_names: set[str] = set()
    seen: list[tuple[Any, Any]] = []
    node_ports: list[tuple[Any, Any]] = []
    for index, port in enumerate(ports):
        field = f"spec.ports[{index}]"
        name = port.get("name", "")
        if name:
            yield from faults.each(f"{field}.name", name, names.dns_label(name))
            if name in seen_names:
                yield faults.duplicate(f"{field}.name", name)
            seen_names.add(name)
        elif len(ports) > 1:
            yield faults.required(f"{field}.name")
        yield from numbers.port(port.get("port", 0), f"{field}.port")
        if port.get("targetPort") not in (None, "") and spec.get("clusterIP") != "None":
            yield from numbers.port_or_name(port["targetPort"], f"{field}.targetPort")
        if port.get("nodePort"):
            if spec.get("type") not in ("NodePort", "LoadBalancer"):
                yield faults.forbidden(f"{field}.nodePort", "may not be used when `type` is 'ClusterIP'")
            used = (port["nodePort"], port.get("protocol"))
            if used in node_ports:
                yield faults.duplicate(f"{field}.nodePort", port["nodePort"])
            node_ports.append(used)
        key = (port.get("port"), port.get("protocol"))
        if key in seen:
            yield faults.duplicate(field, {"port": key[0], "protocol": key[1]})
        seen.append(key)
