"""Definitions: the schema of each type as OpenAPI writes it, from the facts and the descriptions.

Two dialects: v3 wraps a reference in `allOf` so that it may have siblings, v2 puts the siblings beside it.
A scalar that upstream has a type for (Time, Quantity, …) is a reference to that, which `kubectl explain` shows.
Extensions are upstream's x-kubernetes-*.
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
# JSON form of the facts → how v3 writes it, where that is not v2's.
SCALARS_V3: Final[Mapping[str, Json]] = {
    "quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    "int-or-string": {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
}
_META, _JSON = "io.k8s.apimachinery.pkg.apis.meta.v1.", "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON"
RAW: Final = "io.k8s.apimachinery.pkg.runtime.RawExtension"
# JSON form of the facts → the type that stands for it.
NAMED: Final[Mapping[str, str]] = {
    "quantity": "io.k8s.apimachinery.pkg.api.resource.Quantity",
    "int-or-string": "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    "time": f"{_META}Time",
    "micro-time": f"{_META}MicroTime",
    "duration": f"{_META}Duration",
    "fields-v1": f"{_META}FieldsV1",
    "object": RAW,
    "any": _JSON,
}
# Type of one scalar → what it is: the installed sentences have nothing about them.
DESCRIBED: Final[Mapping[str, str]] = {
    NAMED["quantity"]: (
        "A number with an optional suffix: 250m, 1.5, 2Ki, 3Gi, 1e3. Decimal suffixes are n, u, m, k, M, G, T, P and E,"
        " binary ones Ki, Mi, Gi, Ti, Pi and Ei."
    ),
    NAMED["int-or-string"]: "Either a whole number or a text, such as the name of a port or a percentage.",
    NAMED["time"]: "A moment in seconds, as RFC 3339 writes it.",
    NAMED["micro-time"]: "A moment in microseconds, as RFC 3339 writes it.",
    NAMED["duration"]: "A span of time with units, such as 1h30m or 500ms.",
    NAMED["fields-v1"]: "A set of fields as nested keys: f: is a field, v: and k: are elements of a list.",
    RAW: "An object of a kind that only who reads it knows.",
    f"{_META}Patch": "The body of a PATCH request; its media type says which sort of patch it is.",
    _JSON: "Any JSON value.",
    f"{_JSON}SchemaPropsOrArray": "A schema, or a list of schemas.",
    f"{_JSON}SchemaPropsOrBool": "A schema, or whether everything is allowed.",
    f"{_JSON}SchemaPropsOrStringArray": "A schema, or a list of names.",
}


def definition(name: str, dialect: Dialect, kinds: list[Json]) -> Json:
    """The schema of a named type; `kinds` are the group, version and kind that it is the object of."""
    facts = schemas.types().facts(name)
    assert facts is not None, name
    described = descriptions.of(name)
    text = described.text or DESCRIBED.get(name, "")
    made: Json = {"description": text} if text else {}
    scalar = facts.get("scalar")
    if scalar:
        return made | _scalar(scalar, dialect) | ({"type": "object"} if name == f"{_META}Patch" else {})
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
    found = [name for name in (_type_name(row["type"]), _type_name(inner.get("type", "string"))) if name]
    return found + (_named(inner) if inner.get("of") else [])


def _type_name(kind: str) -> str:
    """The type that a place refers to; "" where its form is written out."""
    return NAMED.get(kind, "") if kind in SCALARS or kind in ("list", "map") else kind


def _place(row: Mapping[str, Any], dialect: Dialect, description: str) -> Json:
    made: Json = {"description": description} if description else {}
    made |= _form(row, dialect)
    if "allOf" in made and row.get("zero") == "emit" and _is_object(row["type"]):
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
    name = _type_name(kind)
    if name:
        reference = {"$ref": PREFIX[dialect] + name}
        return {"allOf": [reference]} if dialect == "v3" else reference
    made = _scalar(kind, dialect)
    if row.get("format"):
        made["format"] = row["format"]
    return made


def _scalar(scalar: str, dialect: Dialect) -> Json:
    return dict((SCALARS_V3 if dialect == "v3" else SCALARS).get(scalar) or SCALARS[scalar])


def _is_object(kind: str) -> bool:
    """Whether the place is an object's, whose default is an empty one."""
    return kind not in SCALARS and not schemas.types().scalar(kind)


def _element(of: Any, dialect: Dialect) -> Json:
    row = of if isinstance(of, Mapping) else {"type": of or "any"}
    made = _form(row, dialect)
    if "allOf" not in made:
        return made
    # Only where there is a default has the reference a sibling.
    return made | {"default": {}} if _is_object(row["type"]) else dict(made["allOf"][0])
