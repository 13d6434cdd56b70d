"""Checks of IPAddress and ServiceCIDR, the ranges that Services' addresses come from. Texts are upstream's."""

from collections.abc import Iterator
from typing import Any

from knarr.base.errors import Cause
from knarr.kinds.rules import addresses
from knarr.objects import faults, names

Json = dict[str, Any]


def ip_address(found: Json) -> Iterator[Cause]:
    parent = (found.get("spec") or {}).get("parentRef")
    if parent is None:
        yield faults.required("spec.parentRef")
        return
    if parent.get("group"):
        yield from faults.each("spec.parentRef.group", parent["group"], names.dns_subdomain(parent["group"]))
    for key in ("resource", "name", "namespace"):
        given = parent.get(key, "")
        if given:
            yield from faults.each(f"spec.parentRef.{key}", given, names.path_segment(given))
        elif key != "namespace":
            yield faults.required(f"spec.parentRef.{key}")


def service_cidr(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    given, field = spec.get("cidrs") or [], "spec.cidrs"
    if not given:
        yield faults.required(field, "at least one CIDR required")
        return
    if len(given) > 2:
        yield faults.invalid(field, spec, "may only hold up to 2 values")
        return
    for index, text in enumerate(given):
        yield from addresses.cidr(text, f"{field}[{index}]")
    families = [each.version for text in given if (each := addresses.network(text)) is not None]
    if len(families) == 2 and families[0] == families[1]:
        detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        yield faults.invalid(field, given, detail)


def service_cidr_change(new: Json, old: Json) -> Iterator[Cause]:
    """A second family may be added; nothing else changes."""
    given, held = ((each.get("spec") or {}).get("cidrs") or [] for each in (new, old))
    if len(given) == len(held) or (len(held), len(given)) == (1, 2):
        for index, (now, was) in enumerate(zip(given, held, strict=False)):
            if now != was:
                yield faults.invalid(f"spec.cidrs[{index}]", now, faults.IMMUTABLE)
    else:
        yield faults.invalid("spec.cidrs", given, faults.IMMUTABLE)
