"""Checks of the addresses that a load balancer reports, of Services and Ingresses. Texts are upstream's."""

from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import addresses
from knarr.objects import faults, names

Json = dict[str, Any]
MODES: Final = ("Proxy", "VIP")


def entries(found: Json) -> list[Json]:
    listed: list[Json] = ((found.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return listed


def addresses_of(found: Json, field: str) -> Iterator[Cause]:
    for index, entry in enumerate(entries(found)):
        path, host = f"{field}[{index}]", entry.get("hostname", "")
        if entry.get("ip"):
            yield from addresses.address(entry["ip"], f"{path}.ip")
        if host:
            yield from faults.each(f"{path}.hostname", host, names.dns_subdomain(host))
            if addresses.parsed(host) is not None:
                yield faults.invalid(f"{path}.hostname", host, "must be a DNS name, not an IP address")


def modes_of(found: Json, field: str) -> Iterator[Cause]:
    """How traffic reaches an address; only Services say it."""
    for index, entry in enumerate(entries(found)):
        path, mode = f"{field}[{index}].ipMode", entry.get("ipMode")
        if mode is None:
            if entry.get("ip"):
                yield faults.required(path, "must be specified when `ip` is set")
        elif not entry.get("ip"):
            yield faults.forbidden(path, "may not be specified when `ip` is not set")
        elif mode not in MODES:
            yield faults.unsupported(path, mode, MODES)
