"""Cross-field checks of Endpoints and EndpointSlice. Texts are upstream's."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import addresses, numbers
from knarr.objects import faults, names

Json = dict[str, Any]
PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
ENDPOINTS_MAX: Final = 1000
ADDRESSES_MAX: Final = 100
PORTS_MAX: Final = 20_000
TOPOLOGY_MAX: Final = 16
HINTS_MAX: Final = 8
FAMILIES: Final = {"IPv4": 4, "IPv6": 6}
Judge = Callable[[str], list[str]]
NAMES: Final[tuple[tuple[str, Judge], ...]] = (("hostname", names.dns_label), ("nodeName", names.dns_subdomain))
HINTS: Final[tuple[tuple[str, Judge], ...]] = (("forZones", names.label_value), ("forNodes", names.dns_subdomain))


def endpoints(found: Json) -> Iterator[Cause]:
    for index, subset in enumerate(found.get("subsets") or ()):
        field = f"subsets[{index}]"
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            yield faults.required(field, "must specify `addresses` or `notReadyAddresses`")
        for key in ("addresses", "notReadyAddresses"):
            for at, address in enumerate(subset.get(key) or ()):
                yield from _address(address, f"{field}.{key}[{at}]")
        ports = subset.get("ports") or ()
        for at, port in enumerate(ports):
            yield from _subset_port(port, f"{field}.ports[{at}]", is_named=len(ports) > 1)


def _address(address: Json, field: str) -> Iterator[Cause]:
    text = address.get("ip", "")
    yield from addresses.address(text, f"{field}.ip")
    if address.get("hostname"):
        yield from faults.each(f"{field}.hostname", address["hostname"], names.dns_label(address["hostname"]))
    if address.get("nodeName") is not None:
        yield from faults.each(f"{field}.nodeName", address["nodeName"], names.dns_subdomain(address["nodeName"]))
    yield from addresses.reachable(text, f"{field}.ip")


def _subset_port(port: Json, field: str, *, is_named: bool) -> Iterator[Cause]:
    name = port.get("name", "")
    if is_named and not name:
        yield faults.required(f"{field}.name")
    elif name:
        yield from faults.each(f"{field}.name", name, names.dns_label(name))
    yield from numbers.port(port.get("port", 0), f"{field}.port")
    yield from _protocol(port, field)


def _protocol(port: Json, field: str) -> Iterator[Cause]:
    if not port.get("protocol"):
        yield faults.required(f"{field}.protocol")
    elif port["protocol"] not in PROTOCOLS:
        yield faults.unsupported(f"{field}.protocol", port["protocol"], PROTOCOLS)
    if port.get("appProtocol") is not None:
        yield from faults.each(f"{field}.appProtocol", port["appProtocol"], names.qualified(port["appProtocol"]))


def endpoint_slice(found: Json) -> Iterator[Cause]:
    listed, kind = found.get("endpoints") or (), found.get("addressType", "")
    if len(listed) > ENDPOINTS_MAX:
        yield faults.too_many("endpoints", len(listed), ENDPOINTS_MAX)
    else:
        for index, endpoint in enumerate(listed):
            yield from _endpoint(endpoint, f"endpoints[{index}]", kind)
    yield from _slice_ports(found.get("ports") or [])


def _endpoint(endpoint: Json, field: str, kind: str) -> Iterator[Cause]:
    listed = endpoint.get("addresses") or ()
    if not listed:
        yield faults.required(f"{field}.addresses", "must contain at least 1 address")
    elif len(listed) > ADDRESSES_MAX:
        yield faults.too_many(f"{field}.addresses", len(listed), ADDRESSES_MAX)
    for index, text in enumerate(listed):
        path = f"{field}.addresses[{index}]"
        if kind in FAMILIES:
            yield from addresses.of_family(text, path, FAMILIES[kind])
            yield from addresses.reachable(text, path)
        elif kind == "FQDN":
            yield from faults.each(path, text, names.full_domain_name(text))
    topology = endpoint.get("deprecatedTopology") or {}
    if len(topology) > TOPOLOGY_MAX:
        yield faults.too_many(f"{field}.deprecatedTopology", len(topology), TOPOLOGY_MAX)
    yield from numbers.labels(topology, f"{field}.deprecatedTopology")
    for key, judge in NAMES:
        if endpoint.get(key) is not None:
            yield from faults.each(f"{field}.{key}", endpoint[key], judge(endpoint[key]))
    for key, judge in HINTS:
        yield from _hints((endpoint.get("hints") or {}).get(key) or [], f"{field}.hints.{key}", judge)


def _hints(hints: list[Json], field: str, judge: Judge) -> Iterator[Cause]:
    if len(hints) > HINTS_MAX:
        yield faults.too_many(field, len(hints), HINTS_MAX)
        return
    seen: set[str] = set()
    for index, hint in enumerate(hints):
        name = hint.get("name", "")
        if name in seen:
            yield faults.duplicate(f"{field}[{index}]", name)
        seen.add(name)
        yield from faults.each(f"{field}[{index}].name", name, judge(name))


def _slice_ports(ports: list[Json]) -> Iterator[Cause]:
    if len(ports) > PORTS_MAX:
        yield faults.too_many("ports", len(ports), PORTS_MAX)
        return
    seen: set[str] = set()
    for index, port in enumerate(ports):
        name = port.get("name") or ""
        if name:
            yield from faults.each(f"ports[{index}].name", name, names.dns_label(name))
        if name in seen:
            yield faults.duplicate(f"ports[{index}].name", name)
        seen.add(name)
        yield from _protocol(port, f"ports[{index}]")
