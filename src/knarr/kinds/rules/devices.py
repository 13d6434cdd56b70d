"""Cross-field checks of claims for devices: ResourceClaim, ResourceClaimTemplate, DeviceClass. Texts are upstream's.

Not here: expressions of selectors, which are kept as they are; what devices there are (device_slices.py).
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from knarr.base.errors import Cause
from knarr.kinds.rules import volumes
from knarr.objects import faults, metadata, names

Json = dict[str, Any]
EXPRESSION_MAX: Final = 10 * 1024
PARAMETERS_MAX: Final = 10 * 1024
NO_REQUEST: Final = (
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
)


def claim(found: Json) -> Iterator[Cause]:
    yield from _devices((found.get("spec") or {}).get("devices") or {}, "spec.devices")


def claim_template(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    given = spec.get("metadata") or {}
    yield from metadata.labels(given.get("labels") or {}, "spec.metadata.labels")
    yield from metadata.annotations(given.get("annotations") or {}, "spec.metadata.annotations")
    yield from _devices((spec.get("spec") or {}).get("devices") or {}, "spec.spec.devices")


def device_class(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    yield from _selectors(spec.get("selectors") or [], "spec.selectors")
    for index, config in enumerate(spec.get("config") or ()):
        yield from _opaque(config, f"spec.config[{index}]")


def claim_status(new: Json, old: Json) -> Iterator[Cause]:
    """A claim is reserved while it is allocated, and what was allocated stays."""
    given, held = new.get("status") or {}, old.get("status") or {}
    if given.get("reservedFor") and given.get("allocation") is None:
        yield faults.forbidden("status.reservedFor", "may not be specified when `allocated` is not set")
    before, now = ({msgspec.json.encode(entry, order="sorted") for entry in each.get("reservedFor") or ()}
                   for each in (held, given))  # fmt: skip
    if now - before and new["metadata"].get("deletionTimestamp"):
        detail = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
        yield faults.forbidden("status.reservedFor", detail)
    allocated, wanted = held.get("allocation"), given.get("allocation")
    if allocated is not None and wanted is not None and allocated != wanted:
        yield faults.invalid("status.allocation", wanted, faults.IMMUTABLE)


def _devices(devices: Json, field: str) -> Iterator[Cause]:
    requests = devices.get("requests") or ()
    known = {
        each.get("name", ""): {sub.get("name", "") for sub in each.get("firstAvailable") or ()} for each in requests
    }
    for index, request in enumerate(requests):
        yield from _request(request, f"{field}.requests[{index}]")
    for index, constraint in enumerate(devices.get("constraints") or ()):
        path = f"{field}.constraints[{index}]"
        yield from _named(constraint.get("requests") or [], known, f"{path}.requests")
        attribute = constraint.get("distinctAttribute")
        if attribute is not None:
            yield from faults.each(f"{path}.distinctAttribute", attribute, names.fully_qualified(attribute))
    for index, config in enumerate(devices.get("config") or ()):
        path = f"{field}.config[{index}]"
        yield from _named(config.get("requests") or [], known, f"{path}.requests")
        yield from _opaque(config, path)


def _named(given: list[str], known: dict[str, set[str]], field: str) -> Iterator[Cause]:
    for index, name in enumerate(given):
        request, slash, sub = name.partition("/")
        if request not in known or (slash and sub not in known[request]):
            yield faults.invalid(f"{field}[{index}]", name, NO_REQUEST)


def _request(request: Json, field: str) -> Iterator[Cause]:
    yield from _name(request, field)
    exactly, first = request.get("exactly"), request.get("firstAvailable") or ()
    if exactly is None and not first:
        yield faults.required(field, "exactly one of `exactly` or `firstAvailable` is required")
    elif exactly is not None and first:
        detail = "exactly one of `exactly` or `firstAvailable` is required, but multiple fields are set"
        yield faults.invalid(field, None, detail)
    elif exactly is not None:
        yield from _wanted(exactly, f"{field}.exactly")
    for index, sub in enumerate(first if exactly is None else ()):
        yield from _name(sub, f"{field}.firstAvailable[{index}]")
        yield from _wanted(sub, f"{field}.firstAvailable[{index}]")


def _name(request: Json, field: str) -> Iterator[Cause]:
    name = request.get("name", "")
    if not name:
        yield faults.required(f"{field}.name")
    else:
        yield from faults.each(f"{field}.name", name, names.dns_label(name))


def _wanted(wanted: Json, field: str) -> Iterator[Cause]:
    name, mode, count = wanted.get("deviceClassName", ""), wanted.get("allocationMode", ""), wanted.get("count", 0)
    if name:
        yield from faults.each(f"{field}.deviceClassName", name, names.dns_subdomain(name))
    yield from _selectors(wanted.get("selectors") or [], f"{field}.selectors")
    if mode == "All" and count:
        yield faults.invalid(f"{field}.count", count, "must not be specified when allocationMode is 'All'")
    elif mode == "ExactCount" and count <= 0:
        yield faults.invalid(f"{field}.count", count, faults.NOT_POSITIVE)
    for index, toleration in enumerate(wanted.get("tolerations") or ()):
        yield from _toleration(toleration, f"{field}.tolerations[{index}]")


def _toleration(toleration: Json, field: str) -> Iterator[Cause]:
    operator, value = toleration.get("operator", ""), toleration.get("value", "")
    if not toleration.get("key") and operator != "Exists":
        detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield faults.invalid(f"{field}.operator", operator, detail)
    if operator == "Exists" and value:
        yield faults.invalid(f"{field}.value", value, "must be empty for operator `Exists`")
    elif operator == "Equal":
        yield from faults.each(f"{field}.value", value, names.label_value(value))


def _selectors(selectors: list[Json], field: str) -> Iterator[Cause]:
    for index, selector in enumerate(selectors):
        cel = selector.get("cel")
        if cel is None:
            yield faults.required(f"{field}[{index}].cel")
        elif len(cel.get("expression", "").encode()) > EXPRESSION_MAX:
            yield faults.too_long(f"{field}[{index}].cel.expression", EXPRESSION_MAX)


def _opaque(config: Json, field: str) -> Iterator[Cause]:
    opaque = config.get("opaque")
    if opaque is None:
        yield faults.required(f"{field}.opaque")
        return
    yield from volumes.csi_driver(opaque.get("driver", ""), f"{field}.opaque.driver")
    if not isinstance(opaque.get("parameters"), dict):
        yield faults.required(f"{field}.opaque.parameters")
