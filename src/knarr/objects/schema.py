"""Schema: what an API object may hold, as a tree that every walk over JSON reads. Pure.

A `Schema` is one place in an object (a field, a list's element, a map's value) with its facets; an `ObjectType` is the
set of fields that places of the same type share. Types are built from a facts table (kinds/facts/types.json) when
somebody first looks at them, so a server that never sees a StorageClass never pays for one.
Vocabulary: `form` is the JSON form; a *list-map* is a list whose entries are named by `keys`.
Spec: the x-kubernetes-* extensions of OpenAPI; Go's omitempty as `zero` (see the facts' description).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

Json = dict[str, Any]
# fmt: off
SCALARS: Final = frozenset((
    "string", "boolean", "integer", "number", "bytes", "time", "micro-time", "quantity", "int-or-string", "duration",
    "any", "object", "fields-v1",
))
# fmt: on
_WRITTEN: Final = frozenset(("struct", "string", "integer", "boolean", "quantity", "int-or-string"))
"""Forms that Go writes even when they are zero; a zero time or list is null, which is the same as absent."""


class ObjectType:
    """The fields of one named type; `defaults` and `checks` hold what defaults.py and validation.py compile of it.

    Made by `Types`, and not whole before somebody looks at its fields."""

    __slots__ = ("_raw", "checks", "defaults", "emitted", "fields", "is_atomic", "name", "types", "unions")
    fields: "dict[str, Schema]"
    emitted: tuple[str, ...]
    """Fields that Go writes also when they are zero."""

    def __init__(self, name: str, raw: Mapping[str, Any], types: "Types") -> None:
        self.name = name
        self._raw: Mapping[str, Any] = raw
        self.types = types
        self.is_atomic = raw.get("mapType") == "atomic"
        self.unions: list[Any] = raw.get("unions") or []
        self.defaults: Any = None
        self.checks: Any = None


class Schema:
    """One place: `form` is a scalar's name, `struct` (has an ObjectType), `list` or `map` (has an element).

    Made by `place`, and not whole before somebody looks at what is below it."""

    __slots__ = (
        "_of", "_types", "bounds", "element", "enum", "form", "holds_structs", "is_atomic", "is_immutable", "is_open",
        "is_required", "is_scalar", "keys", "limit", "list_type", "map_type", "needs", "patch", "patch_key", "type",
        "type_name", "union", "unique", "update", "zero",
    )  # fmt: skip
    type: ObjectType
    """The fields of a `struct`."""
    element: "Schema"
    """What a list's entries or a map's values are."""
    is_atomic: bool
    """Whether server-side apply owns the value as a whole."""
    holds_structs: bool
    """Whether it is a struct, or a list or map that has structs somewhere below: where fields can be unknown."""

    def __init__(self, facts: Mapping[str, Any], types: "Types") -> None:
        self._types = types
        kind = facts["type"]
        self.form: str = kind if kind in SCALARS or kind in ("list", "map") else "struct"
        self.type_name: str = kind
        scalar = types.scalar(kind) if self.form == "struct" else ""
        if scalar:
            self.form = scalar
        self.is_scalar = self.form not in ("struct", "list", "map")
        self._of: Any = facts.get("of")
        self.is_required: bool = bool(facts.get("required"))
        self.list_type: str = facts.get("listType", "atomic")
        self.keys: tuple[str, ...] = tuple(facts.get("keys", ()))
        self.unique: Any = facts.get("unique")
        self.map_type: str = facts.get("mapType", "")
        patch: str = facts.get("patch", "")
        self.patch: tuple[str, ...] = tuple(patch.split(",")) if patch else ()
        self.patch_key: str = facts.get("patchKey", "")
        self.enum: tuple[str, ...] = types.enum(facts.get("enum")) or tuple(facts.get("values", ()))
        self.zero: str = facts.get("zero", "drop")
        self.is_immutable: bool = bool(facts.get("immutable"))
        self.update: tuple[str, ...] = tuple(facts.get("update", ()))
        self.union = _union(facts)
        self.needs = tuple(
            rule[len("dependentRequired(") : -1]
            for rule in facts.get("rules", ())
            if rule.startswith("dependentRequired(")
        )
        self.is_open = self.form in ("any", "object", "fields-v1")
        self.bounds: Mapping[str, Any] | None = None
        self.limit = 2**31 if facts.get("format") == "int32" else 2**63
        limits = {key: facts[key] for key in _BOUNDS if key in facts}
        if limits:
            self.bounds = limits

    def _owned_as_a_whole(self) -> bool:
        match self.form:
            case "struct":
                return self.map_type == "atomic" or (self.type.is_atomic and self.map_type != "granular")
            case "map":
                return self.map_type == "atomic"
            case "list":
                return self.list_type == "atomic"
            case _:
                return True


_BOUNDS: Final = ("min", "max", "minItems", "maxItems", "minLength", "maxLength", "maxBytes", "pattern", "fmt")


class _LateType(ObjectType):
    """An ObjectType whose fields nobody has looked at. What is missing is filled in once, and from then on it is a
    plain one: walks ask for these at every place, and a property or a `__getattr__` would cost more than all else."""

    __slots__ = ()

    if not TYPE_CHECKING:  # it would let every name pass

        def __getattr__(self, name: str) -> Any:
            _complete_type(self)
            return getattr(self, name)


def _complete_type(kind: ObjectType) -> None:
    raw, kind._raw = kind._raw, {}
    kind.fields = {name: place(facts, kind.types) for name, facts in raw["fields"].items()}
    kind.emitted = tuple(name for name, field in kind.fields.items() if field.zero == "emit" and field.form in _WRITTEN)
    kind.__class__ = ObjectType


class _LatePlace(Schema):
    """A Schema of which nobody has looked below: types refer to each other in circles."""

    __slots__ = ()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            _complete_place(self)
            return getattr(self, name)


def _complete_place(schema: Schema) -> None:
    schema.__class__ = Schema
    inner, of = schema, schema._of
    if schema.form == "struct":
        schema.type = schema._types.of(schema.type_name)
    elif schema.form in ("list", "map"):
        inner = schema.element = place(of if isinstance(of, Mapping) else {"type": of or "any"}, schema._types)
    schema.is_atomic = schema._owned_as_a_whole()
    schema.holds_structs = inner.form == "struct" or (inner is not schema and inner.holds_structs)


def place(facts: Mapping[str, Any], types: "Types") -> Schema:
    """The place that a row of the facts describes."""
    return _LatePlace(facts, types)


def _union(facts: Mapping[str, Any]) -> tuple[str, str] | None:
    """The union that a field is a member of, and how many members may be set (`one`, `most one`)."""
    if "unionMember" in facts:
        return facts["unionMember"], "one"
    for marker in ("zeroOrOneOf", "oneOf"):
        if marker in facts:
            return facts[marker], "most one"
    return None


def inner_type(schema: Schema) -> ObjectType | None:
    """The object type at a place or, for a list or map, of its elements; None where there is none."""
    inner = schema.element if schema.form in ("list", "map") else schema
    return inner.type if inner.form == "struct" else None


def reachable(root: ObjectType) -> "dict[str, ObjectType]":
    """The type and every type below it, by name."""
    found: dict[str, ObjectType] = {}
    queue = [root]
    while queue:
        kind = queue.pop()
        if kind.name not in found:
            found[kind.name] = kind
            queue.extend(inner for field in kind.fields.values() if (inner := inner_type(field)) is not None)
    return found


def ways(reached: "Mapping[str, ObjectType]", wanted: Iterable[str]) -> "dict[str, tuple[tuple[str, Schema], ...]]":
    """For every type that is wanted or leads to one that is: its fields on the way. A walk enters nothing else."""
    leads = set(wanted)
    places = {
        name: [
            (key, field, inner.name) for key, field in kind.fields.items() if (inner := inner_type(field)) is not None
        ]
        for name, kind in reached.items()
    }
    has_grown = True
    while has_grown:
        more = {name for name, each in places.items() if any(below in leads for _, _, below in each)} - leads
        leads |= more
        has_grown = bool(more)
    return {name: tuple((key, field) for key, field, below in places[name] if below in leads) for name in leads}


class Types:
    """The named types of one facts table, built when they are first asked for.

    `load(name)` gives a type's row or None; `default_rows(name)` its rows of the defaults table, in order.
    """

    def __init__(
        self,
        load: Callable[[str], Mapping[str, Any] | None],
        enums: Mapping[str, Any],
        default_rows: Callable[[str], list[Mapping[str, Any]]] = lambda name: [],
    ) -> None:
        self._load = load
        self._enums = enums
        self.default_rows = default_rows
        self._built: dict[str, ObjectType] = {}
        self._scalars: dict[str, str] = {}

    def of(self, name: str) -> ObjectType:
        """The type; LookupError if the table has none of that name."""
        found = self._built.get(name)
        if found is None:
            raw = self._load(name)
            if raw is None:
                raise LookupError(f"{name} is no type of the facts table")
            found = self._built[name] = _LateType(name, raw, self)
        return found

    def facts(self, name: str) -> Mapping[str, Any] | None:
        """The type's row of the facts table as it is; None if there is none."""
        return self._load(name)

    def enum_facts(self, name: str) -> Mapping[str, Any] | None:
        """The row of an enum: `values`, and whether they are all (`closed`)."""
        found: Mapping[str, Any] | None = self._enums.get(name)
        return found

    def scalar(self, name: str) -> str:
        """The form of a type whose JSON is no object (Time, Quantity, …); "" for all others."""
        if name not in self._scalars:
            raw = self._load(name)
            if raw is None:
                raise LookupError(f"{name} is no type of the facts table")
            self._scalars[name] = raw.get("scalar", "")
        return self._scalars[name]

    def enum(self, name: str | None) -> tuple[str, ...]:
        """The closed enum's values; () when other values are legal too."""
        found = self._enums.get(name) if name else None
        return tuple(found["values"]) if found and found["closed"] else ()

    def root(self, name: str) -> Schema:
        """The place of a whole object of a type."""
        return place({"type": name, "zero": "emit"}, self)
