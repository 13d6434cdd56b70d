"""Cross-field checks of NetworkPolicy: peers, ranges of addresses, ports. Texts are upstream's."""

from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import addresses, numbers
from knarr.objects import faults

Json = dict[str, Any]
PROTOCOLS: Final = ("SCTP", "TCP", "UDP")
TYPES: Final = ("Egress", "Ingress")


def network_policy(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    yield from numbers.label_selector(spec.get("podSelector"), "spec.podSelector")
    for side, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(spec.get(side) or ()):
            field = f"spec.{side}[{index}]"
            for at, port in enumerate(rule.get("ports") or ()):
                yield from _port(port, f"{field}.ports[{at}]")
            for at, peer in enumerate(rule.get(peers) or ()):
                yield from _peer(peer, f"{field}.{peers}[{at}]")
    types = spec.get("policyTypes") or []
    if len(types) > len(TYPES):
        yield faults.invalid("spec.policyTypes", types, "may not specify more than two policyTypes")
        return
    for index, kind in enumerate(types):
        if kind not in TYPES:
            yield faults.unsupported(f"spec.policyTypes[{index}]", kind, TYPES)


def _port(port: Json, field: str) -> Iterator[Cause]:
    protocol, given, end = port.get("protocol"), port.get("port"), port.get("endPort")
    if protocol is not None and protocol not in PROTOCOLS:
        yield faults.unsupported(f"{field}.protocol", protocol, PROTOCOLS)
    if given is None:
        if end is not None:
            yield faults.invalid(f"{field}.endPort", end, "may not be specified when `port` is not specified")
        return
    yield from numbers.port_or_name(given, f"{field}.port")
    if end is None:
        return
    if isinstance(given, str):
        yield faults.invalid(f"{field}.endPort", end, "may not be specified when `port` is non-numeric")
        return
    if end < given:
        yield faults.invalid(f"{field}.endPort", end, "must be greater than or equal to `port`")
    yield from numbers.port(end, f"{field}.endPort")


def _peer(peer: Json, field: str) -> Iterator[Cause]:
    block = peer.get("ipBlock")
    selectors = [key for key in ("podSelector", "namespaceSelector") if peer.get(key) is not None]
    for key in selectors:
        yield from numbers.label_selector(peer[key], f"{field}.{key}")
    if block is not None:
        yield from _block(block, f"{field}.ipBlock")
        if selectors:
            yield faults.forbidden(field, "may not specify both ipBlock and another peer")
    elif not selectors:
        yield faults.required(field, "must specify a peer")


def _block(block: Json, field: str) -> Iterator[Cause]:
    cidr = block.get("cidr", "")
    if not cidr:
        yield faults.required(f"{field}.cidr")
        return
    yield from addresses.cidr(cidr, f"{field}.cidr")
    whole = addresses.network(cidr)
    if whole is None:
        return
    for index, text in enumerate(block.get("except") or ()):
        path = f"{field}.except[{index}]"
        yield from addresses.cidr(text, path)
        part = addresses.network(text)
        if part is not None and not addresses.is_strictly_within(part, whole):
            yield faults.invalid(path, text, "must be a strict subset of `cidr`")
