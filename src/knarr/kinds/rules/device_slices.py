"""Cross-field checks of ResourceSlice and DeviceTaintRule: which devices a node has. Texts are upstream's."""

import re
from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import affinity, volumes
from knarr.objects import faults, names

Json = dict[str, Any]
DEVICES_MAX: Final = 128
DEVICES_WITH_MORE_MAX: Final = 64
ATTRIBUTES_MAX: Final = 32
TAINTS_MAX: Final = 16
VALUE_MAX: Final = 64
DOMAIN_MAX, IDENTIFIER_MAX = 63, 32
PLACES: Final = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")
LISTED: Final = ("bools", "ints", "strings", "versions")
_NUMBER: Final = r"(0|[1-9][0-9]*)"
_PRERELEASE: Final = r"(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_BUILD: Final = r"[0-9a-zA-Z-]+"
_VERSION: Final = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PRERELEASE}(\.{_PRERELEASE})*)?(\+{_BUILD}(\.{_BUILD})*)?"
)


def resource_slice(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    yield from volumes.csi_driver(spec.get("driver", ""), "spec.driver")
    yield from _pool(spec.get("pool") or {})
    yield from _place(spec)
    if spec.get("sharedCounters") is not None and spec.get("devices") is not None:
        yield faults.invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed")
    devices = spec.get("devices") or ()
    most = DEVICES_WITH_MORE_MAX if any(_has_more(device) for device in devices) else DEVICES_MAX
    if len(devices) > most:
        yield faults.too_many("spec.devices", len(devices), most)
    seen: set[str] = set()
    for index, device in enumerate(devices):
        field, name = f"spec.devices[{index}]", device.get("name", "")
        if name:
            yield from faults.each(f"{field}.name", name, names.dns_label(name))
            if name in seen:
                yield faults.duplicate(f"{field}.name", name)
        seen.add(name)
        yield from _device(device, field, is_placed=bool(spec.get("perDeviceNodeSelection")))


def _has_more(device: Json) -> bool:
    """Has the device what makes slices heavy: taints, counters, lists?"""
    attributes = (device.get("attributes") or {}).values()
    lists = any(key in attribute for attribute in attributes for key in LISTED)
    return bool(device.get("taints") or device.get("consumesCounters") or lists)


def _pool(pool: Json) -> Iterator[Cause]:
    name, count, generation = pool.get("name", ""), pool.get("resourceSliceCount", 0), pool.get("generation", 0)
    if not name:
        yield faults.required("spec.pool.name")
    else:
        if len(name) > names.SUBDOMAIN_MAX:
            yield faults.too_long("spec.pool.name", names.SUBDOMAIN_MAX)
        for part in name.split("/"):
            yield from faults.each("spec.pool.name", part, names.dns_subdomain(part))
    if count <= 0:
        yield faults.invalid("spec.pool.resourceSliceCount", count, faults.NOT_POSITIVE)
    if generation < 0:
        yield faults.invalid("spec.pool.generation", generation, "must be greater than or equal to zero")


def _place(spec: Json) -> Iterator[Cause]:
    name, selector = spec.get("nodeName"), spec.get("nodeSelector")
    if name == "":
        yield faults.invalid("spec.nodeName", name, "must be either unset or set to a non-empty string")
    elif name:
        yield from faults.each("spec.nodeName", name, names.dns_subdomain(name))
    if selector is not None:
        yield from affinity.node_selector(selector, "spec.nodeSelector")
        terms = selector.get("nodeSelectorTerms") or []
        if len(terms) != 1:
            detail = "must have exactly one node selector term"
            yield faults.invalid("spec.nodeSelector.nodeSelectorTerms", terms, detail)
    for key in ("allNodes", "perDeviceNodeSelection"):
        if spec.get(key) is False:
            yield faults.invalid(f"spec.{key}", False, "must be either unset or set to true")
    chosen = [f"`{key}`" for key in PLACES if spec.get(key) not in (None, "", False)]
    listed = f"exactly one of {', '.join(f'`{key}`' for key in PLACES)} is required"
    if not chosen:
        yield faults.required("spec", listed)
    elif len(chosen) > 1:
        yield faults.invalid("spec", f"{{{', '.join(chosen)}}}", f"{listed}, but multiple fields are set")


def _device(device: Json, field: str, *, is_placed: bool) -> Iterator[Cause]:
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    if len(attributes) + len(capacity) > ATTRIBUTES_MAX:
        detail = f"the total number of attributes and capacities must not exceed {ATTRIBUTES_MAX}"
        yield faults.invalid(field, len(attributes) + len(capacity), detail)
    for name, attribute in attributes.items():
        yield from _qualified(name, f"{field}.attributes[{name}]")
        yield from _attribute(attribute, f"{field}.attributes[{name}]")
    for name, amount in capacity.items():
        yield from _qualified(name, f"{field}.capacity[{name}]")
        if amount.get("requestPolicy") is not None and not device.get("allowMultipleAllocations"):
            detail = "allowMultipleAllocations must be true"
            yield faults.forbidden(f"{field}.capacity[{name}].requestPolicy", detail)
    taints = device.get("taints") or ()
    if len(taints) > TAINTS_MAX:
        yield faults.too_many(f"{field}.taints", len(taints), TAINTS_MAX)
    for index, taint in enumerate(taints):
        yield from _taint(taint, f"{field}.taints[{index}]")
    if not is_placed and any(device.get(key) is not None for key in ("nodeName", "nodeSelector", "allNodes")):
        detail = (
            "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in "
            "the ResourceSlice spec"
        )
        yield faults.invalid(field, None, detail)


def _qualified(name: str, field: str) -> Iterator[Cause]:
    """The name of an attribute: an identifier, with or without a domain before it."""
    domain, slash, rest = name.rpartition("/")
    if slash:
        if not domain:
            yield faults.required(field, "the domain must not be empty")
        elif len(domain) > DOMAIN_MAX:
            yield faults.too_long(field, DOMAIN_MAX)
        else:
            yield from faults.each(field, domain, names.dns_subdomain(domain))
    if not rest:
        yield faults.required(field, "the name must not be empty")
    elif len(rest) > IDENTIFIER_MAX:
        yield faults.too_long(field, IDENTIFIER_MAX)
    else:
        yield from faults.each(field, rest, names.c_identifier(rest))


def _attribute(attribute: Json, field: str) -> Iterator[Cause]:
    for key in LISTED:
        if attribute.get(key) == []:
            yield faults.invalid(f"{field}.{key}", [], "must not be empty if specified")
    texts = [("string", attribute.get("string")), ("version", attribute.get("version"))]
    for key in ("strings", "versions"):
        texts += [(f"{key}[{index}]", text) for index, text in enumerate(attribute.get(key) or ())]
    for key, text in texts:
        if text is None:
            continue
        if key.startswith("version") and not _VERSION.fullmatch(text):
            yield faults.invalid(f"{field}.{key}", text, "must be a string compatible with semver.org spec 2.0.0")
        if len(text.encode()) > VALUE_MAX:
            yield faults.too_long(f"{field}.{key}", VALUE_MAX)


def _taint(taint: Json, field: str) -> Iterator[Cause]:
    key, value = taint.get("key", ""), taint.get("value", "")
    yield from faults.each(f"{field}.key", key, names.qualified(key))
    if value:
        yield from faults.each(f"{field}.value", value, names.label_value(value))


def taint_rule(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    selector = spec.get("deviceSelector") or {}
    if selector.get("driver"):
        yield from volumes.csi_driver(selector["driver"], "spec.deviceSelector.driver")
    if selector.get("device"):
        yield from faults.each("spec.deviceSelector.device", selector["device"], names.dns_label(selector["device"]))
    yield from _taint(spec.get("taint") or {}, "spec.taint")
