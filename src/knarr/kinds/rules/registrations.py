"""Checks of APIService and StorageVersionMigration, which are about other kinds. Texts are upstream's."""

import re
from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import conditions
from knarr.objects import faults, names

Json = dict[str, Any]
# Field → its greatest value.
PRIORITIES: Final = (("groupPriorityMinimum", 20000), ("versionPriority", 1000))
# Two conditions that exclude each other, and what is said of both.
OPPOSED: Final = (
    ("Succeeded", "Failed", "Both success and failed conditions cannot be true at the same time"),
    ("Succeeded", "Running", "Running condition cannot be true when success condition is true"),
    ("Failed", "Running", "Running condition cannot be true when failed condition is true"),
)
# A condition that stays, and what is said where it goes.
FINAL: Final = (
    ("Succeeded", "Success condition cannot be set to false once it is true"),
    ("Failed", "Failed condition cannot be set to false once it is true"),
)
_NUMBER: Final = re.compile(r"([+-]?)(\d+)", re.ASCII)
_DIGITS_MAX: Final = 19
"""As many as 64 bits can have."""


def api_service(found: Json) -> Iterator[Cause]:
    spec, name = found.get("spec") or {}, found["metadata"].get("name", "")
    group, version = spec.get("group", ""), spec.get("version", "")
    if name and name != f"{version}.{group}":
        detail = f'must be `spec.version+"."+spec.group`: {faults.shown(f"{version}.{group}")}'
        yield faults.invalid("metadata.name", name, detail)
    if not group and version != "v1":
        yield faults.required("spec.group", "only v1 may have an empty group and it better be legacy kube")
    elif group:
        yield from faults.each("spec.group", group, names.dns_subdomain(group))
    yield from faults.each("spec.version", version, names.dns_1035_label(version))
    for key, most in PRIORITIES:
        if not 0 < spec.get(key, 0) <= most:
            yield faults.invalid(f"spec.{key}", spec.get(key, 0), f"must be positive and less than {most}")
    yield from _service(spec)


def _service(spec: Json) -> Iterator[Cause]:
    service, bundle, skips = spec.get("service"), spec.get("caBundle"), spec.get("insecureSkipTLSVerify")
    if service is None:
        if bundle:
            shown = f"{len(bundle) * 3 // 4 - bundle.count('=')} bytes"
            yield faults.invalid("spec.caBundle", shown, "local APIServices may not have a caBundle")
        if skips:
            detail = "local APIServices may not have insecureSkipTLSVerify"
            yield faults.invalid("spec.insecureSkipTLSVerify", True, detail)
        return
    for key in ("namespace", "name"):
        if not service.get(key):
            yield faults.required(f"spec.service.{key}")
    if skips and bundle:
        yield faults.invalid("spec.insecureSkipTLSVerify", True, "may not be true if caBundle is present")


def api_service_status(new: Json, old: Json) -> Iterator[Cause]:
    for index, each in enumerate((new.get("status") or {}).get("conditions") or ()):
        if each.get("status") not in conditions.STATUSES:
            field = f"status.conditions[{index}].status"
            yield faults.unsupported(field, each.get("status", ""), conditions.STATUSES)


def migration(found: Json) -> Iterator[Cause]:
    if not ((found.get("spec") or {}).get("resource") or {}).get("resource"):
        yield faults.required("spec.resource.resource", "resource is required")


def migration_status(new: Json, old: Json) -> Iterator[Cause]:
    now, was = new.get("status") or {}, old.get("status") or {}
    revision, field = now.get("resourceVersion", ""), "status.resourceVersion"
    if revision:
        yield from _revision(revision, field)
    listed = now.get("conditions") or []
    yield from conditions.each(listed, "status.conditions")
    if was.get("resourceVersion") and was["resourceVersion"] != revision:
        yield faults.invalid(field, revision, "cannot be updated")
    for one, other, text in OPPOSED:
        if conditions.is_true(new, one) and conditions.is_true(new, other):
            yield faults.invalid("status.conditions", listed, text)
    for kind, text in FINAL:
        if conditions.is_true(old, kind) and not conditions.is_true(new, kind):
            yield faults.invalid("status.conditions", listed, text)


def _revision(text: str, field: str) -> Iterator[Cause]:
    """A number of 64 bits, not below zero."""
    found, why, number = _NUMBER.fullmatch(text), "invalid syntax", 0
    if found is not None:
        # Cut: a number of a million digits takes long to read.
        number = int(found[1] + (found[2].lstrip("0")[: _DIGITS_MAX + 1] or "0"))
        why = "" if -(2**63) <= number < 2**63 else "value out of range"
    if why:
        shown = faults.shown(text)
        detail = f"failed to parse resource version {shown}: strconv.ParseInt: parsing {shown}: {why}"
        yield faults.invalid(field, text, detail)
    elif number < 0:
        yield faults.invalid(field, number, faults.NON_NEGATIVE)
