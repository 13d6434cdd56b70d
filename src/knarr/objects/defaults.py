"""Defaults: the values that a server fills in, row by row, in a decoded tree. Changes the tree it is given, in place.

Rows are data (kinds/facts/defaults.json) and are compiled once per type: plain ones to a key and a value, the others to
paths with conditions. Outer types come before inner ones; a value that Go would not write is not set.
Not here: what create handlers and admission assign (addresses, tokens): those are the API server's.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from knarr.objects import aliases, pod_level, quantity
from knarr.objects.schema import ObjectType, Schema, Types, reachable, ways

Json = dict[str, Any]
Segments = tuple[str, ...]
# A DeviceTaint's time is assigned (apiserver/assigned.py), for it is not a value of the object.
SKIPPED_RULES: Final = frozenset(("now-truncated-to-second",))
# The options of a log are a query: apiserver/subresources/log.py reads them, and the default of its stream is there.
SKIPPED_GATES: Final = frozenset(("PodLogsQuerySplitStreams",))


class Plan:
    """A type's compiled rows in order, and the fields below which more rows may apply."""

    __slots__ = ("fields", "rows")

    def __init__(self, rows: tuple[Callable[[Json], None], ...], fields: tuple[tuple[str, str, Schema], ...]) -> None:
        self.rows = rows
        self.fields = fields

    @property
    def is_empty(self) -> bool:
        return not self.rows and not self.fields


EMPTY: Final = Plan((), ())


def default(schema: Schema, obj: Json) -> Json:
    """The same object with its defaults; it must be decoded (decoding.py) and belong to the caller."""
    _fill(plan(schema.type), obj)
    return obj


def _fill(plan_: Plan, obj: Json) -> None:
    for row in plan_.rows:
        row(obj)
    for key, form, schema in plan_.fields:
        value = obj.get(key)
        if not value and value != {}:
            continue
        if form == "struct":
            _fill(schema.type.defaults, value)
        else:
            below = schema.element.type.defaults
            for entry in value if form == "list" else value.values():
                _fill(below, entry)


def plan(kind: ObjectType) -> Plan:
    """The type's plan, compiled with those of all types below it."""
    if kind.defaults is None:
        _compile(kind)
    found: Plan = kind.defaults
    return found


def _compile(root: ObjectType) -> None:
    """Compile everything reachable; a type that can reach no row gets EMPTY, and no walk enters it."""
    reached = reachable(root)
    rows = {name: _rows(kind) for name, kind in reached.items()}
    leading = ways(reached, (name for name in reached if rows[name]))
    for name, kind in reached.items():
        fields = tuple((key, schema.form, schema) for key, schema in leading.get(name, ()))
        kind.defaults = Plan(rows[name], fields) if name in leading else EMPTY


def _rows(kind: ObjectType) -> tuple[Callable[[Json], None], ...]:
    types = kind.types
    compiled = [_row(row, kind, types) for row in types.default_rows(kind.name)]
    return tuple(row for row in (*compiled, aliases.OF_TYPES.get(kind.name)) if row is not None)


def _row(row: Mapping[str, Any], kind: ObjectType, types: Types) -> Callable[[Json], None] | None:
    if row.get("rule") in pod_level.RULES:
        return pod_level.RULES[row["rule"]]
    if row.get("rule") in SKIPPED_RULES or row.get("gate") in SKIPPED_GATES:
        return None
    path = segments(row["field"])
    if row.get("rule") == "round-up-to-milli":
        return _rounding(path[0])
    leaf = _leaf(kind, path)
    if "value" in row and not row["value"] and leaf is not None and leaf.zero == "drop" and row["value"] is not None:
        return None
    if len(path) == 1 and "value" in row and "when" not in row and row["unset"] != "always":
        return _plain(path[0], row["value"], row["unset"] == "zero")
    return _Row(row, path)


def _plain(key: str, value: Any, is_zero: bool) -> Callable[[Json], None]:
    if isinstance(value, dict | list):

        def fill_copy(obj: Json) -> None:
            if key not in obj or (is_zero and not obj[key]):
                obj[key] = copy.deepcopy(value)

        return fill_copy

    def fill(obj: Json) -> None:
        if key not in obj or (is_zero and not obj[key]):
            obj[key] = value

    return fill


def _rounding(key: str) -> Callable[[Json], None]:
    """Rounds the quantities of a list of resources up to thousandths."""

    def fill_rounded(obj: Json) -> None:
        amounts = obj.get(key)
        if amounts:
            for name, amount in amounts.items():
                if amount[-1] in "nu" or "e-" in amount:  # canonical: nothing else is finer
                    amounts[name] = quantity.in_milli(amount)

    return fill_rounded


def _leaf(kind: ObjectType, path: Segments) -> Schema | None:
    place: Schema | None = None
    for segment in path:
        if place is None:
            place = kind.fields.get(segment)
        elif place.form in ("list", "map"):
            place = place.element
        elif place.form == "struct":
            place = place.type.fields.get(segment)
        else:
            return None
        if place is None:
            return None
    return place


def segments(path: str) -> Segments:
    """`spec.ports[*].port` → (spec, ports, *, port); `labels["a.b"]` → (labels, a.b); `ips[0]` → (ips, 0)."""
    found: list[str] = []
    for part in _quoted_parts(path):
        name, _, rest = part.partition("[")
        if name:
            found.append(name)
        while rest:
            inner, _, rest = rest.partition("]")
            found.append(inner.strip('"'))
            rest = rest.removeprefix("[")
    return tuple(found)


def _quoted_parts(path: str) -> Iterator[str]:
    part, is_quoted = "", False
    for character in path:
        if character == '"':
            is_quoted = not is_quoted
        if character == "." and not is_quoted:
            yield part
            part = ""
        else:
            part += character
    yield part


_Test = tuple[str, Segments, Any]


class _Row:
    """A row with a path, conditions or a source."""

    __slots__ = ("bound", "creates", "is_single", "path", "rule", "source", "unset", "value", "when")

    def __init__(self, row: Mapping[str, Any], path: Segments) -> None:
        self.path = path
        self.source: Segments | None = segments(row["from"]) if "from" in row else None
        self.value = row.get("value")
        self.rule: str | None = row.get("rule")
        self.unset: str = row["unset"]
        tests: list[_Test] = [(test["op"], segments(test["path"]), test.get("value")) for test in row.get("when", ())]
        # Conditions of the whole object are asked once, those with `*` for each entry.
        self.when = tuple(test for test in tests if "*" not in test[1] or test[0] in ("noneOfInline", "rule"))
        self.bound = tuple(test for test in tests if test not in self.when)
        self.is_single = "*" not in path and "*" not in (self.source or ())
        # Parents are created for entries of maps, and for an autoscaler's behaviour once there is one.
        self.creates = path[-1] == "*" or "labels" in path or "behavior" in path

    def __call__(self, obj: Json) -> None:
        if self.is_single and self.unset != "always":
            held = at(obj, self.path)
            if held if self.unset == "zero" else held is not None:
                return
        for test in self.when:
            if not _holds(obj, test, ()):
                return
        if self.is_single:
            self._set(obj, self.path, ())
            return
        for binding in _bindings(obj, self.source or self.path):
            for test in self.bound:
                if not _holds(obj, test, binding):
                    break
            else:
                self._set(obj, _bound(self.path, binding), binding)

    def _set(self, obj: Json, path: tuple[Any, ...], binding: tuple[Any, ...]) -> None:
        parent = _parent(obj, path, self.creates)
        if parent is None:
            return
        key = path[-1]
        held = parent.get(key)
        if self.unset != "always" and (held if self.unset == "zero" else key in parent):
            return
        if self.source is not None:
            found = at(obj, _bound(self.source, binding))
            if found is not None:
                parent[key] = copy.copy(found)
        elif self.rule is not None:
            found = RULES[self.rule](obj)
            if found:
                parent[key] = found
        elif self.value is None:
            parent.pop(key, None)
        else:
            parent[key] = copy.deepcopy(self.value)


def _bindings(obj: Any, path: Segments) -> list[tuple[Any, ...]]:
    """What each `*` of the path may stand for: list indexes and map keys."""
    found: list[tuple[tuple[Any, ...], Any]] = [((), obj)]
    for segment in path[:-1] if path[-1] != "*" else path:
        following: list[tuple[tuple[Any, ...], Any]] = []
        for binding, value in found:
            if segment != "*":
                if isinstance(value, dict):
                    following.append((binding, value.get(segment)))
                elif isinstance(value, list) and segment.isdigit():
                    following.append((binding, value[int(segment)] if int(segment) < len(value) else None))
                else:
                    following.append((binding, None))
            elif isinstance(value, dict):
                following += [((*binding, key), entry) for key, entry in value.items()]
            elif isinstance(value, list):
                following += [((*binding, index), entry) for index, entry in enumerate(value)]
        found = following
        if not found:
            return []
    return [binding for binding, _ in found]


def _bound(path: Segments, binding: tuple[Any, ...]) -> tuple[Any, ...]:
    if not binding:
        return path
    values = iter(binding)
    return tuple(next(values, segment) if segment == "*" else segment for segment in path)


def _parent(obj: Json, path: tuple[Any, ...], creates: bool) -> Json | None:
    current: Any = obj
    for segment in path[:-1]:
        following = at(current, (segment,))
        if following is None:
            if not creates or not isinstance(current, dict):
                return None
            following = current[segment] = {}
        current = following
    return current if isinstance(current, dict) else None


def at(obj: Any, path: tuple[Any, ...]) -> Any:
    """The value at a path, or None."""
    for segment in path:
        if obj.__class__ is dict:
            obj = obj.get(segment)
        elif isinstance(obj, list) and isinstance(segment, int | str) and str(segment).isdigit():
            obj = obj[int(segment)] if int(segment) < len(obj) else None
        else:
            return None
        if obj is None:
            return None
    return obj


def _holds(obj: Json, test: _Test, binding: tuple[Any, ...]) -> bool:
    op, path, wanted = test
    if op == "eq":
        return bool(at(obj, _bound(path, binding)) == wanted)
    if op == "noneOfInline":
        return all(key == "name" for key in obj)  # a Volume: all its other fields are the inline source
    if op == "rule":
        return _is_externally_accessible(obj)
    value = at(obj, _bound(path, binding))
    match op:
        case "in":
            return value in wanted
        case "absent":
            return value is None
        case "present":
            return value is not None
        case "empty":
            return not value
        case "nonempty":
            return bool(value)
        case "imageTag":
            return bool(image_tag(value or "") == wanted)
        case "imageTagNot":
            return bool(image_tag(value or "") != wanted)
    raise AssertionError(f"unknown condition {op}")


def _is_externally_accessible(obj: Json) -> bool:
    spec = obj.get("spec", {})
    kind = spec.get("type")
    return kind in ("LoadBalancer", "NodePort") or (kind == "ClusterIP" and bool(spec.get("externalIPs")))


def image_tag(reference: str) -> str:
    """The tag of an image reference; `latest` without tag and digest, "" for a digest alone."""
    name, _, digest = reference.partition("@")
    last = name.rpartition("/")[2]
    _, colon, tag = last.partition(":")
    if colon:
        return tag
    return "" if digest else "latest"


def _stored_versions(crd: Json) -> list[str]:
    versions = crd.get("spec", {}).get("versions") or []
    return [version["name"] for version in versions if version.get("storage")][:1]


RULES: Final[Mapping[str, Callable[[Json], Any]]] = {
    "lowercase-kind": lambda crd: crd["spec"]["names"].get("kind", "").lower(),
    "kind-plus-List": lambda crd: crd["spec"]["names"].get("kind", "") + "List",
    "list-of-storage-version-name": _stored_versions,
}
