"""Field sets: which places of an object somebody owns, as the JSON of FieldsV1 itself. Pure; sets are never changed.

A set is a tree: `f:name` a field, `k:{…}` a list-map's entry, `v:…` a set's value. A node without children is owned;
one with children is owned when it has the child ".". Spec: structured merge-diff, FieldsV1.
Vocabulary: the *root* is the object itself and never owned.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from knarr.objects.schema import ObjectType, Schema
from knarr.wire import strict_json

Fields = dict[str, Any]
Json = dict[str, Any]
SELF: Final = "."
LEAF: Final[Fields] = {}
_ABSENT: Final = object()
_CONTAINERS: Final = (dict, list)
_encode = msgspec.json.Encoder(order="sorted").encode


def union(left: Fields, right: Fields) -> Fields:
    """Everything in either set."""
    if not left:
        return right
    made = dict(left)
    for key, node in right.items():
        made[key] = _joined(made[key], node) if key in made else node
    return made


def _joined(left: Fields, right: Fields) -> Fields:
    if not left:
        return {SELF: LEAF, **right} if right else LEAF
    return union(left, right) if right else {SELF: LEAF, **left}


def union_all(held: Iterable[Fields]) -> Fields:
    """Everything in any of the sets, each level made once however many they are."""
    sets = [each for each in held if each]
    if len(sets) < 2:
        return sets[0] if sets else LEAF
    nodes: dict[str, list[Fields]] = {}
    for each in sets:
        for key, node in each.items():
            nodes.setdefault(key, []).append(node)
    return {key: same[0] if len(same) == 1 else _all_joined(same) for key, same in nodes.items()}


def _all_joined(nodes: list[Fields]) -> Fields:
    """One node of several; a leaf beside one with children is the child "." of what they make."""
    children = [node for node in nodes if node]
    if not children:
        return LEAF
    if len(children) < len(nodes):
        children.insert(0, {SELF: LEAF})
    return union_all(children)


def difference(left: Fields, right: Fields) -> Fields:
    """What is in the left set and not in the right one: the left one itself if that is all of it."""
    if not right or not left or left.keys().isdisjoint(right):
        return left
    made: Fields = {}
    is_whole = True
    for key, node in left.items():
        kept = _less(node, right[key]) if key in right else node
        is_whole = is_whole and kept is node
        if kept is not None:
            made[key] = kept
    return left if is_whole else made


def _less(left: Fields, right: Fields) -> Fields | None:
    if right and left and left.keys().isdisjoint(right) and left != {SELF: LEAF}:
        return left
    is_owned = (not left or SELF in left) and right and SELF not in right
    if not left:
        return LEAF if is_owned else None
    children = {key: node for key, node in left.items() if key != SELF}
    children = difference(children, {key: node for key, node in right.items() if key != SELF})
    if not children:
        return LEAF if is_owned else None
    return {SELF: LEAF, **children} if is_owned else children


def intersection(left: Fields, right: Fields) -> Fields:
    """What is in both sets."""
    made: Fields = {}
    for key, node in left.items():
        if key in right and key != SELF:
            both = _both(node, right[key])
            if both is not None:
                made[key] = both
    return made


def _both(left: Fields, right: Fields) -> Fields | None:
    is_owned = (not left or SELF in left) and (not right or SELF in right)
    children = intersection(left, right)
    if not children:
        return LEAF if is_owned else None
    return {SELF: LEAF, **children} if is_owned else children


def is_well_formed(held: Any) -> bool:
    """Whether a client's FieldsV1 is a tree of path elements."""
    if not isinstance(held, dict):
        return False
    return all(
        (key == SELF and node == {}) or (_is_element(key) and is_well_formed(node)) for key, node in held.items()
    )


def _is_element(key: str) -> bool:
    if key[:2] == "f:":
        return True
    if key[:2] not in ("k:", "v:", "i:"):
        return False
    try:
        named = msgspec.json.decode(key[2:])
    except strict_json.UNREADABLE:
        return False
    return isinstance(named, dict) if key[0] == "k" else isinstance(named, int) or key[0] == "v"


def has(node: Fields | None) -> bool:
    """Whether a node itself is owned."""
    return node is not None and (not node or SELF in node)


def paths(held: Fields, prefix: str = "") -> Iterator[str]:
    """The owned places as messages write them: `.spec.containers[name="c"].image`; at each level first the places
    themselves, then what is below them, as upstream."""
    children = [(key, held[key]) for key in sorted(held) if key != SELF]
    for key, node in children:
        if not node or SELF in node:
            yield prefix + element_text(key)
    for key, node in children:
        if node:
            yield from paths(node, prefix + element_text(key))


def element_text(key: str) -> str:
    kind, rest = key[:2], key[2:]
    match kind:
        case "f:":
            return f".{rest}"
        case "k:":
            named = msgspec.json.decode(rest)
            return "[" + ",".join(f"{name}={_encode(value).decode()}" for name, value in sorted(named.items())) + "]"
        case "v:":
            return f"[={rest}]"
        case _:
            return f"[{rest}]"


# Walks over values ----------------------------------------------------------------------------------------------


def of(schema: Schema, value: Any) -> Fields:
    """The places that a value sets, as an applied configuration owns them; the value is a struct or map."""
    if schema.form == "map" and schema.element.is_scalar:
        return {f"f:{key}": LEAF for key in value}
    made: Fields = {}
    for key, item in value.items():
        place = below(schema, key)
        if place is None:
            continue
        node = LEAF if place.is_scalar else _node(place, item)
        if schema.form == "map":  # a map's key is owned itself, whatever is below it
            made[f"f:{key}"] = {SELF: LEAF, **node} if node and SELF not in node else LEAF
        elif node is not None:
            made[f"f:{key}"] = node
    return made


def _node(place: Schema, item: Any) -> Fields | None:
    """What a struct's field owns; None: nothing, as a list without entries or a struct that holds no more than such."""
    if place.is_atomic or item is None:
        return LEAF
    if isinstance(item, dict) and place.form in ("struct", "map"):
        return (of(place, item) or None) if item else LEAF
    if isinstance(item, list) and place.form == "list":
        named = _grouped(place, item)
        if named is None:
            return LEAF
        return {key: _entry(place.element, same) for key, same in named.items()} or None
    return LEAF


def _entry(element: Schema, same: list[Any]) -> Fields:
    """Entries of one name; more than one are owned as a whole."""
    entry = same[0]
    node = of(element, entry) if len(same) == 1 and isinstance(entry, dict) and not element.is_atomic else LEAF
    return {SELF: LEAF, **node} if node else LEAF


def below(schema: Schema, key: str) -> Schema | None:
    """The place of a key in a struct or map."""
    if schema.form == "struct":
        return schema.type.fields.get(key)
    return schema.element if schema.form == "map" else None


def entries(place: Schema, items: list[Any]) -> dict[str, Any] | None:
    """The entries of a list-map or set by their path element; None when they cannot be told apart."""
    named = elements(place, items)
    if named is None:
        return None
    made = dict(named)
    return made if len(made) == len(named) else None


def elements(place: Schema, items: list[Any]) -> list[tuple[str, Any]] | None:
    """The entries of a list-map or set, each with its path element; None when one has none."""
    if place.list_type == "set":
        return [(f"v:{_encode(item).decode()}", item) for item in items]
    made: list[tuple[str, Any]] = []
    keys = place.keys
    defaults = key_defaults(place.element.type) if place.element.form == "struct" else {}
    for item in items:
        if not isinstance(item, dict):
            return None
        named = {}
        for key in keys:
            value = item.get(key, defaults.get(key))
            if value is not None:
                named[key] = value
        if not named:
            return None
        made.append((f"k:{_encode(named).decode()}", item))
    return made


def _grouped(place: Schema, items: list[Any]) -> dict[str, list[Any]] | None:
    """The entries by their path element, those of one name together."""
    made: dict[str, list[Any]] = {}
    named = elements(place, items)
    for element, item in named or ():
        made.setdefault(element, []).append(item)
    return None if named is None else made


_KEY_DEFAULTS: Final[dict[str, dict[str, Any]]] = {}


def key_defaults(kind: ObjectType) -> dict[str, Any]:
    """Values that key fields have when they are left out (a port's protocol)."""
    found = _KEY_DEFAULTS.get(kind.name)
    if found is None:
        rows = (row for row in kind.types.default_rows(kind.name) if "value" in row and "when" not in row)
        found = _KEY_DEFAULTS[kind.name] = {row["field"]: row["value"] for row in rows if "." not in row["field"]}
    return found


def compare(schema: Schema, old: Json, new: Json) -> tuple[Fields, Fields]:
    """(what is added or has another value, what is removed) from the old value to the new one."""
    changed: Fields = {}
    removed: Fields = {}
    for key, item in new.items():
        had = old.get(key, _ABSENT)
        if had is item or had == item:
            continue
        place = below(schema, key)
        if place is None:
            continue
        if had is _ABSENT:
            changed[f"f:{key}"] = _added(place, item)
        else:
            _compare_at(place, (had, item), f"f:{key}", (changed, removed))
    if not old.keys() <= new.keys():
        for key in old.keys() - new.keys():
            place = below(schema, key)
            if place is not None:
                removed[f"f:{key}"] = _whole(place, old[key])
    return changed, removed


def _compare_at(place: Schema, pair: tuple[Any, Any], key: str, found: tuple[Fields, Fields]) -> None:
    """Compare two different values at a place; what is found goes below `key` of both sets."""
    old, new = pair
    changed, removed = found
    if place.is_atomic or not (old or new):
        changed[key] = LEAF
        return
    if place.form in ("struct", "map") and isinstance(old or {}, dict) and isinstance(new or {}, dict):
        more, less = compare(place, old or {}, new or {})
    elif place.form == "list" and isinstance(old or [], list) and isinstance(new or [], list):
        old, new = old or [], new or []  # null is empty beside one that is not
        had, has_now = _grouped(place, old), _grouped(place, new)
        if had is None or has_now is None:
            changed[key] = LEAF
            return
        more, less = _compare_entries(place.element, had, has_now)
    else:
        changed[key] = LEAF
        return
    if more:
        changed[key] = more
    if less:
        removed[key] = less


def _compare_entries(element: Schema, old: dict[str, list[Any]], new: dict[str, list[Any]]) -> tuple[Fields, Fields]:
    """Several entries of one name, which create and update may leave, are one value without places in it."""
    changed: Fields = {}
    removed: Fields = {key: _whole_entry(element, same) for key, same in old.items() if key not in new}
    for key, now in new.items():
        had = old.get(key)
        if had is None:
            changed[key] = _whole_entry(element, now)
        elif had == now:
            continue
        elif len(had) == 1 and len(now) == 1:
            _compare_at(element, (had[0], now[0]), key, (changed, removed))
        else:
            changed[key] = _whole_entry(element, now)
            if len(had) == 1 or len(now) == 1:
                removed[key] = _whole_entry(element, had)
    return changed, removed


def _added(place: Schema, item: Any) -> Fields:
    node = _whole(place, item)
    # Go always writes these, so the field itself is no news.
    if node and place.zero == "emit" and SELF in node:
        return {key: each for key, each in node.items() if key != SELF}
    return node


def _whole(place: Schema, item: Any) -> Fields:
    """A value with everything in it, each inner node owned too."""
    if not item or place.is_atomic:
        return LEAF
    if isinstance(item, dict) and place.form in ("struct", "map"):
        made: Fields = {SELF: LEAF}
        known = place.type.fields if place.form == "struct" else None
        for key, each in item.items():
            inner = place.element if known is None else known.get(key)
            if inner is not None:
                made[f"f:{key}"] = _whole(inner, each) if each.__class__ in _CONTAINERS else LEAF
        return made
    if isinstance(item, list) and place.form == "list":
        named = _grouped(place, item)
        if named is not None:
            return {SELF: LEAF, **{key: _whole_entry(place.element, same) for key, same in named.items()}}
    return LEAF


def _whole_entry(element: Schema, same: list[Any]) -> Fields:
    return _whole(element, same[0]) if len(same) == 1 and isinstance(same[0], dict) else LEAF
