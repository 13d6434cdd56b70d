"""Validation that follows from the schema alone: required fields, enums, bounds, named formats, uniqueness, unions.

Pure. Of a decoded and defaulted object, its status left out: upstream does not judge what controllers write there.
Not here: metadata (metadata.py), checks across fields (kinds/rules), changes (immutability.py).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from knarr.base.errors import Cause
from knarr.objects import faults, names
from knarr.objects.schema import ObjectType, Schema, reachable, ways

Json = dict[str, Any]
_encode: Final = msgspec.json.Encoder(order="sorted").encode
SKIPPED: Final = frozenset(("metadata", "status", "apiVersion", "kind"))
FORMATS: Final[Mapping[str, Callable[[str], list[str]]]] = {
    "k8s-short-name": names.dns_label,
    "k8s-long-name": names.dns_subdomain,
    "k8s-label-key": names.qualified,
    "k8s-label-value": names.label_value,
    "k8s-path-segment-name": names.path_segment,
    "k8s-long-name-caseless": lambda name: names.dns_subdomain(name.lower()),
    "k8s-prefixed-label-key": names.prefixed,
    "k8s-extended-resource-name": names.extended_resource,
    "k8s-resource-fully-qualified-name": names.fully_qualified,
    "k8s-resource-pool-name": names.pool_name,
    "k8s-uuid": names.uuid,
}
# Types whose unions a rule of kinds/rules judges in words of its own.
JUDGED_BY_RULE: Final = "io.k8s.api.flowcontrol."
# Required fields that may be empty all the same.
MAY_BE_EMPTY: Final = frozenset(
    (
        "io.k8s.api.core.v1.HTTPHeader.value",
        "io.k8s.api.core.v1.Sysctl.value",
        "io.k8s.api.core.v1.Event.reason",
        "io.k8s.api.core.v1.LimitRangeSpec.limits",
        "io.k8s.api.storage.v1.CSINodeSpec.drivers",
        "io.k8s.api.storage.v1.TokenRequest.audience",
        "io.k8s.apimachinery.pkg.apis.meta.v1.GroupResource.group",
    )
)


class Checks:
    """What one type asks: required fields, checked fields, unions, and the fields to walk into."""

    __slots__ = ("below", "fields", "needed", "required", "unions")

    def __init__(self) -> None:
        self.required: tuple[tuple[str, Schema], ...] = ()
        self.fields: tuple[tuple[str, Schema], ...] = ()
        self.below: tuple[tuple[str, Schema], ...] = ()
        self.needed: tuple[tuple[str, str], ...] = ()
        """A field, and one that must be set with it."""
        self.unions: tuple[tuple[tuple[str, ...], str], ...] = ()
        """The members of a union, and how many of them may be set."""

    @property
    def is_empty(self) -> bool:
        return not (self.required or self.fields or self.below or self.unions or self.needed)


def found(schema: Schema, obj: Json) -> list[Cause]:
    """The faults of a whole object."""
    causes: list[Cause] = []
    checks = _checks(schema.type)
    _required(checks, obj, "", causes)
    for key, field in checks.fields:
        if key not in SKIPPED and key in obj:
            _check(field, obj[key], key, causes)
    for key, field in checks.below:
        if key not in SKIPPED and key in obj:
            _below(field, obj[key], key, causes)
    return causes


def below(schema: Schema, obj: Json, path: str) -> list[Cause]:
    """The faults of a value of a struct type at a path."""
    causes: list[Cause] = []
    _struct(schema.type, obj, path, causes)
    return causes


def _struct(kind: ObjectType, obj: Json, path: str, causes: list[Cause]) -> None:
    checks: Checks = kind.checks or _checks(kind)
    if checks.required:
        _required(checks, obj, path, causes)
    if checks.unions:
        _unions(checks, obj, path, causes)
    for key, needed in checks.needed:
        if obj.get(key) is not None and obj.get(needed) is None:
            causes.append(faults.invalid(f"{path}.{needed}", "", f"must be specified when `{key}` is specified"))
    for key, field in checks.fields:
        if key in obj:
            _check(field, obj[key], f"{path}.{key}", causes)
    for key, field in checks.below:
        if key in obj:
            _below(field, obj[key], f"{path}.{key}", causes)


def _below(field: Schema, value: Any, path: str, causes: list[Cause]) -> None:
    if field.form == "struct":
        _struct(field.type, value, path, causes)
    elif field.form == "list":
        for index, entry in enumerate(value):
            _struct(field.element.type, entry, f"{path}[{index}]", causes)
    else:
        for key, entry in value.items():
            _struct(field.element.type, entry, f"{path}[{key}]", causes)


def _required(checks: Checks, obj: Json, path: str, causes: list[Cause]) -> None:
    for key, field in checks.required:
        value = obj.get(key)
        is_missing = value is None if field.form in ("struct", "any", "object", "quantity") else not value
        if is_missing and key not in SKIPPED:
            causes.append(faults.required(f"{path}.{key}" if path else key))


def _unions(checks: Checks, obj: Json, path: str, causes: list[Cause]) -> None:
    for members, most in checks.unions:
        chosen = [member for member in members if obj.get(member) not in (None, [], "")]
        listed = ", ".join(f"`{member}`" for member in members)
        if len(chosen) > 1:
            detail = f"must specify {'exactly' if most == 'one' else 'at most'} one of: {listed}"
            causes.append(faults.invalid(path, f"{{{', '.join(chosen)}}}", detail))
        elif not chosen and most == "one":
            causes.append(faults.invalid(path, "", f"must specify one of: {listed}"))


def _checks(kind: ObjectType) -> Checks:
    if kind.checks is None:
        _compile(kind)
    made: Checks = kind.checks
    return made


def _compile(root: ObjectType) -> None:
    reached = reachable(root)
    made = {name: _own(kind) for name, kind in reached.items()}
    leading = ways(reached, (name for name, checks in made.items() if not checks.is_empty))
    for name, kind in reached.items():
        made[name].below = leading.get(name, ())
        kind.checks = made[name]


def _own(kind: ObjectType) -> Checks:
    checks = Checks()
    checks.required = tuple(
        (key, field)
        for key, field in kind.fields.items()
        if field.is_required
        and f"{kind.name}.{key}" not in MAY_BE_EMPTY
        and not (field.form == "struct" and field.zero == "emit")
        and field.form not in ("integer", "boolean", "int-or-string", "number")
    )
    checks.fields = tuple((key, field) for key, field in kind.fields.items() if _is_checked(field))
    checks.needed = tuple((key, needed) for key, field in kind.fields.items() for needed in field.needs)
    checks.unions = () if kind.name.startswith(JUDGED_BY_RULE) else _members(kind)
    return checks


def _members(kind: ObjectType) -> tuple[tuple[tuple[str, ...], str], ...]:
    """The unions of a type: by the markers of its fields, and those that the schema lists without a discriminator."""
    found: dict[tuple[str, str], list[str]] = {}
    for key, field in kind.fields.items():
        if field.union is not None:
            found.setdefault(field.union, []).append(key)
    made = [(tuple(members), most) for (_, most), members in found.items() if most == "one" or len(members) > 1]
    for union in kind.unions:
        members = tuple(union["fields"])
        if not union["discriminator"] and members not in [each for each, _ in made]:
            made.append((members, "one"))
    return tuple(made)


def _is_checked(field: Schema) -> bool:
    if field.enum or field.bounds or field.unique:
        return True
    return field.form in ("list", "map") and bool(field.element.enum or field.element.bounds)


def _check(field: Schema, value: Any, path: str, causes: list[Cause]) -> None:
    if field.form == "list":
        for index, entry in enumerate(value):
            _value(field.element, entry, f"{path}[{index}]", causes)
        if field.unique:
            _unique(field, value, path, causes)
    elif field.form == "map":
        for key, entry in value.items():
            _value(field.element, entry, f"{path}[{key}]", causes)
    _value(field, value, path, causes)


def _value(field: Schema, value: Any, path: str, causes: list[Cause]) -> None:
    if field.enum and value and value not in field.enum:
        causes.append(faults.unsupported(path, value, field.enum))
    bounds = field.bounds
    if bounds is None:
        return
    if isinstance(value, int):
        if "min" in bounds and value < bounds["min"]:
            causes.append(faults.invalid(path, value, f"must be greater than or equal to {bounds['min']}"))
        if "max" in bounds and value > bounds["max"]:
            causes.append(faults.invalid(path, value, f"must be less than or equal to {bounds['max']}"))
    elif isinstance(value, str) and value:
        _text(bounds, value, path, causes)
    elif isinstance(value, list | dict):
        if "minItems" in bounds and len(value) < bounds["minItems"]:
            detail = f"must have at least {bounds['minItems']} items"
            causes.append(Cause(path, "FieldValueTooFew", f"Too few: {len(value)}: {detail}"))
        if "maxItems" in bounds and len(value) > bounds["maxItems"]:
            causes.append(faults.too_many(path, len(value), bounds["maxItems"]))


def _text(bounds: Mapping[str, Any], value: str, path: str, causes: list[Cause]) -> None:
    most = bounds.get("maxLength") or bounds.get("maxBytes")
    if most and len(value.encode() if "maxBytes" in bounds else value) > most:
        causes.append(faults.too_long(path, most))
    check = FORMATS.get(bounds.get("fmt", ""))
    if check:
        causes += faults.each(path, value, check(value))
    if "pattern" in bounds and not re.fullmatch(bounds["pattern"], value):
        causes.append(faults.invalid(path, value, f"must match the pattern {bounds['pattern']}"))


def _unique(field: Schema, values: list[Any], path: str, causes: list[Cause]) -> None:
    keys = field.unique if isinstance(field.unique, list) else []
    seen: set[bytes] = set()
    for index, entry in enumerate(values):
        named = {key: entry.get(key) for key in keys} if keys and isinstance(entry, dict) else entry
        text = _encode(named)
        if text in seen:
            causes.append(faults.duplicate(f"{path}[{index}]", named))
        seen.add(text)
