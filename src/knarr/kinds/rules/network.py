"""Cross-field checks of Ingress, NetworkPolicy and EndpointSlice. Texts are upstream's."""

import ipaddress
from collections.abc import Iterator
from typing import Any

from knarr.base.errors import Cause
from knarr.kinds.rules import numbers
from knarr.objects import faults, names

Json = dict[str, Any]


def ingress(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    if not spec.get("rules") and spec.get("defaultBackend") is None:
        yield faults.invalid("spec", spec.get("rules") or [], "either `defaultBackend` or `rules` must be specified")
    if spec.get("defaultBackend"):
        yield from _backend(spec["defaultBackend"], "spec.defaultBackend")
    for index, rule in enumerate(spec.get("rules") or ()):
        field = f"spec.rules[{index}]"
        host = rule.get("host", "")
        if host:
            plain = host.removeprefix("*.")
            yield from faults.each(f"{field}.host", host, names.dns_subdomain(plain))
        for at, path in enumerate((rule.get("http") or {}).get("paths") or ()):
            yield from _path(path, f"{field}.http.paths[{at}]")


def _path(path: Json, field: str) -> Iterator[Cause]:
    kind, given = path.get("pathType"), path.get("path", "")
    if kind is not None and kind not in ("Exact", "Prefix", "ImplementationSpecific"):
        yield faults.unsupported(f"{field}.pathType", kind, ("Exact", "Prefix", "ImplementationSpecific"))
    if kind in ("Exact", "Prefix") and not given.startswith("/"):
        yield faults.invalid(f"{field}.path", given, "must be an absolute path")
    yield from _backend(path.get("backend") or {}, f"{field}.backend")


def _backend(backend: Json, field: str) -> Iterator[Cause]:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        yield faults.invalid(field, "", "cannot set both resource and service backends")
    elif service is None and resource is None:
        yield faults.required(field, "resource or service backend is required")
    elif service is not None:
        port = service.get("port") or {}
        if port.get("number"):
            yield from numbers.port(port["number"], f"{field}.service.port.number")
        elif not port.get("name"):
            yield faults.required(f"{field}.service.port", "port name or number is required")


def network_policy(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    yield from numbers.label_selector(spec.get("podSelector"), "spec.podSelector")
    for side, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(side) or ()):
            field = f"spec.{side}[{index}]"
            for at, peer in enumerate(rule.get(peers) or ()):
                yield from _peer(peer, f"{field}.{peers}[{at}]")
            for at, port in enumerate(rule.get("ports") or ()):
                if port.get("port") is not None:
                    yield from numbers.port_or_name(port["port"], f"{field}.ports[{at}].port")


def _peer(peer: Json, field: str) -> Iterator[Cause]:
    if not peer:
        yield faults.required(field, "must specify a peer")
    block = peer.get("ipBlock")
    if block is not None:
        if "podSelector" in peer or "namespaceSelector" in peer:
            yield faults.forbidden(field, "may not specify both ipBlock and another peer")
        try:
            ipaddress.ip_network(block.get("cidr", ""), strict=False)
        except ValueError:
            detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
            yield faults.invalid(f"{field}.ipBlock.cidr", block.get("cidr", ""), detail)


def endpoint_slice(found: Json) -> Iterator[Cause]:
    kind = found.get("addressType")
    endpoints = found.get("endpoints") or ()
    if len(endpoints) > 1000:
        yield faults.too_many("endpoints", len(endpoints), 1000)
    for index, endpoint in enumerate(endpoints):
        for at, address in enumerate(endpoint.get("addresses") or ()):
            if kind in ("IPv4", "IPv6") and not _is_address(address, 4 if kind == "IPv4" else 6):
                detail = f"must be a valid {kind} address"
                yield faults.invalid(f"endpoints[{index}].addresses[{at}]", address, detail)


def _is_address(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version
    except ValueError:
        return False
