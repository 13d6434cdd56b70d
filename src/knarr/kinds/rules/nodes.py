"""Cross-field checks of Node and RuntimeClass, and what may change in a node. Texts are upstream's."""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from knarr.base.errors import Cause
from knarr.kinds.rules import addresses, amounts, numbers, tolerations
from knarr.objects import faults, names, quantity

Json = dict[str, Any]
ONCE_SET: Final = 'node updates may not change {} except from "" to valid'


def node(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    # Upstream's path of a taint, though it is in the spec.
    yield from _taints(spec.get("taints") or [], "metadata.taints")
    yield from resources(found)
    given = spec.get("podCIDRs") or []
    for index, text in enumerate(given):
        yield from addresses.cidr(text, f"spec.podCIDRs[{index}]")
    families = {each.version for text in given if (each := addresses.network(text)) is not None}
    if len(given) > 1 and (len(families) != 2 or len(given) > 2):
        yield faults.invalid("spec.podCIDRs", given, "may specify no more than one CIDR for each IP family")
    seen: set[str] = set()
    for index, text in enumerate(given):
        if text in seen:
            yield faults.duplicate(f"spec.podCIDRs[{index}]", text)
        seen.add(text)


def _taints(taints: list[Json], field: str) -> Iterator[Cause]:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        path, key, effect = f"{field}[{index}]", taint.get("key", ""), taint.get("effect", "")
        yield from faults.each(f"{path}.key", key, names.qualified(key))
        wrong = names.label_value(taint.get("value", ""))
        if wrong:
            yield faults.invalid(f"{path}.value", taint["value"], ";".join(wrong))
        if (key, effect) in seen:
            yield faults.duplicate(path, taint, "taints must be unique by key and effect pair")
        seen.add((key, effect))


def resources(found: Json) -> Iterator[Cause]:
    """What a node has and gives: nothing negative, and devices in whole numbers."""
    for key in ("capacity", "allocatable"):
        for name, amount in ((found.get("status") or {}).get(key) or {}).items():
            path = f"status.{key}.{name}"
            if amount.startswith("-"):
                yield faults.invalid(path, amount, faults.NON_NEGATIVE)
            if "/" in name and not names.extended_resource(name) and quantity.parse(amount).denominator != 1:
                yield faults.invalid(path, amount, "must be an integer")


def node_change(new: Json, old: Json) -> Iterator[Cause]:
    given, held = new.get("spec") or {}, old.get("spec") or {}
    for key, name in (("podCIDRs", "podCIDR"), ("providerID", "providerID")):
        if held.get(key) and given.get(key) != held[key]:
            yield faults.forbidden(f"spec.{key}", ONCE_SET.format(name))


def node_status(new: Json, old: Json) -> Iterator[Cause]:
    yield from resources(new)
    listed = (new.get("status") or {}).get("addresses") or []
    seen: set[bytes] = set()
    for index, address in enumerate(listed):
        encoded = msgspec.json.encode(address, order="sorted")
        if encoded in seen:
            yield faults.duplicate(f"status.addresses[{index}]", address)
        seen.add(encoded)


def runtime_class(found: Json) -> Iterator[Cause]:
    handler = found.get("handler", "")
    yield from faults.each("handler", handler, names.dns_label(handler))
    fixed = (found.get("overhead") or {}).get("podFixed")
    if fixed:
        yield from amounts.of_container({"limits": fixed}, "overhead")
    scheduling = found.get("scheduling") or {}
    yield from numbers.labels(scheduling.get("nodeSelector"), "scheduling.nodeSelector")
    yield from tolerations.each(scheduling.get("tolerations") or (), "scheduling.tolerations")
