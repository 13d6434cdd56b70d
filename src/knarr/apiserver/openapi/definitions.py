"""Definitions: the schema of each type as OpenAPI writes it, from the facts and the descriptions.

Two dialects: v3 wraps a reference in `allOf` so that it may have siblings, v2 puts the siblings beside it.
Scalars (Time, Quantity, …) are written out in place. Extensions are upstream's x-kubernetes-*.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal

from knarr.apiserver.openapi import descriptions
from knarr.kinds import schemas

Json = dict[str, Any]
Dialect = Literal["v2", "v3"]
PREFIX: Final[Mapping[Dialect, str]] = {"v2": "#/definitions/", "v3": "#/components/schemas/"}

# JSON form of the facts → how OpenAPI writes it.
SCALARS: Final[Mapping[str, Json]] = {
    "string": {"type": "string"},
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer"},
    "number": {"type": "number", "format": "double"},
    "bytes": {"type": "string", "format": "byte"},
    "time": {"type": "string", "format": "date-time"},
    "micro-time": {"type": "string", "format": "date-time"},
    "duration": {"type": "string"},
    "quantity": {"type": "string"},
    "int-or-string": {"type": "string", "format": "int-or-string"},
    "any": {},
    "object": {"type": "object"},
    "fields-v1": {"type": "object"},
}
QUANTITY_V3: Final[Json] = {"oneOf": [{"type": "string"}, {"type": "number"}]}
INT_OR_STRING_V3: Final[Json] = {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}


def definition(name: str, dialect: Dialect, kinds: list[Json]) -> Json:
    """The schema of a named type; `kinds` are the group, version and kind that it is the object of."""
    facts = schemas.types().facts(name)
    assert facts is not None, name
    described = descriptions.of(name)
    made: Json = {"description": described.text} if described.text else {}
    scalar = facts.get("scalar")
    if scalar:
        return made | SCALARS[scalar]
    made["type"] = "object"
    required = [field for field, row in facts["fields"].items() if row.get("required")]
    if required:
        made["required"] = required
    properties = {
        field: _place(row, dialect, described.fields.get(field, "")) for field, row in sorted(facts["fields"].items())
    }
    if properties:
        made["properties"] = properties
    if facts.get("mapType"):
        made["x-kubernetes-map-type"] = facts["mapType"]
    if facts.get("unions"):
        made["x-kubernetes-unions"] = [_union(union) for union in facts["unions"]]
    if kinds:
        made["x-kubernetes-group-version-kind"] = kinds
    return made


def _union(union: Mapping[str, Any]) -> Json:
    made: Json = {"fields-to-discriminateBy": dict(union["fields"])}
    return {"discriminator": union["discriminator"], **made} if union.get("discriminator") else made


def references(name: str) -> set[str]:
    """The named types that a type's schema refers to."""
    facts = schemas.types().facts(name)
    found: set[str] = set()
    for row in (facts or {}).get("fields", {}).values():
        for kind in _named(row):
            found.add(kind)
    return found


def _named(row: Mapping[str, Any]) -> list[str]:
    of = row.get("of")
    inner = of if isinstance(of, Mapping) else {"type": of} if of else {}
    found = [kind for kind in (row["type"], inner.get("type")) if kind and _is_named(kind)]
    return found + (_named(inner) if inner.get("of") else [])


def _is_named(kind: str) -> bool:
    return kind not in SCALARS and kind not in ("list", "map") and not schemas.types().scalar(kind)


def _place(row: Mapping[str, Any], dialect: Dialect, description: str) -> Json:
    made: Json = {"description": description} if description else {}
    made |= _form(row, dialect)
    if "allOf" in made and row.get("zero") == "emit":
        made["default"] = {}
    for key, extension in EXTENSIONS:
        if key in row:
            made[extension] = list(row[key]) if isinstance(row[key], list) else row[key]
    values = _enum(row.get("enum"))
    if values:
        made["enum"] = values
    return made


EXTENSIONS: Final = (
    ("listType", "x-kubernetes-list-type"),
    ("keys", "x-kubernetes-list-map-keys"),
    ("mapType", "x-kubernetes-map-type"),
    ("patch", "x-kubernetes-patch-strategy"),
    ("patchKey", "x-kubernetes-patch-merge-key"),
)


def _enum(name: str | None) -> list[str]:
    found = schemas.types().enum_facts(name) if name else None
    return sorted(found["values"]) if found and found["closed"] else []


def _form(row: Mapping[str, Any], dialect: Dialect) -> Json:
    kind = row["type"]
    if kind == "list":
        return {"type": "array", "items": _element(row.get("of"), dialect)}
    if kind == "map":
        return {"type": "object", "additionalProperties": _element(row.get("of"), dialect)}
    scalar = kind if kind in SCALARS else schemas.types().scalar(kind)
    if not scalar:
        reference = {"$ref": PREFIX[dialect] + kind}
        return {"allOf": [reference]} if dialect == "v3" else reference
    if dialect == "v3" and scalar in ("quantity", "int-or-string"):
        return dict(QUANTITY_V3 if scalar == "quantity" else INT_OR_STRING_V3)
    made = dict(SCALARS[scalar])
    if row.get("format"):
        made["format"] = row["format"]
    return made


def _element(of: Any, dialect: Dialect) -> Json:
    row = of if isinstance(of, Mapping) else {"type": of or "any"}
    made = _form(row, dialect)
    if "allOf" in made:
        made["default"] = {}
    return made
