"""Changes: what a type's markers say about the change of its fields: immutable, or set, unset and modified never. Pure.

A walk over two decoded objects that enters only what leads to a marked field; entries of lists are matched by their
keys. Not here: the rules of a kind that are no markers (kinds/immutability.py). Spec: declarative validation.
"""

import functools
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.objects import faults
from knarr.objects.schema import ObjectType, Schema, reachable, ways

Json = dict[str, Any]
SKIPPED: Final = frozenset(("metadata", "status", "apiVersion", "kind"))
Marked = tuple[tuple[str, Schema], ...]


def found(schema: Schema, new: Json, old: Json) -> list[Cause]:
    """The faults of a change of a whole object; metadata and status are left out."""
    causes: list[Cause] = []
    _struct(_plans(schema.type), schema.type.name, (new, old), "", causes)
    return causes


@functools.cache
def _plans(root: ObjectType) -> dict[str, tuple[Marked, Marked]]:
    """Per type: its marked fields, and those on the way to marked ones. Types that lead to none are absent."""
    reached = reachable(root)
    marked = {
        name: tuple((key, field) for key, field in kind.fields.items() if field.is_immutable or field.update)
        for name, kind in reached.items()
    }
    leading = ways(reached, (name for name, fields in marked.items() if fields))
    return {name: (marked[name], leading[name]) for name in leading}


def _struct(
    plans: dict[str, tuple[Marked, Marked]], name: str, pair: tuple[Json, Json], path: str, causes: list[Cause]
) -> None:
    if name not in plans or pair[0] == pair[1]:
        return
    marked, leading = plans[name]
    for key, field in marked:
        if path or key not in SKIPPED:
            causes += _judged(field, (pair[0].get(key), pair[1].get(key)), f"{path}.{key}".lstrip("."))
    for key, field in leading:
        if not path and key in SKIPPED:
            continue
        for entry, values in _below(field, (pair[0].get(key), pair[1].get(key))):
            inner = field if field.form == "struct" else field.element
            _struct(plans, inner.type.name, values, f"{path}.{key}{entry}".lstrip("."), causes)


def _below(field: Schema, pair: tuple[Any, Any]) -> list[tuple[str, tuple[Json, Json]]]:
    """The values of a place in both objects, where both have them."""
    new, old = pair
    if not new or not old:
        return []
    if field.form == "struct":
        return [("", (new, old))]
    if field.form == "map":
        return [(f"[{key}]", (entry, old[key])) for key, entry in new.items() if key in old]
    if not field.keys:
        return []
    before = {_named(field, entry): entry for entry in old}
    return [
        (f"[{index}]", (entry, before[_named(field, entry)]))
        for index, entry in enumerate(new)
        if _named(field, entry) in before
    ]


def _named(field: Schema, entry: Any) -> tuple[Any, ...]:
    return tuple(entry.get(key) for key in field.keys)


def _judged(field: Schema, pair: tuple[Any, Any], path: str) -> list[Cause]:
    new, old = pair
    if new == old or not (new or old):
        return []
    if field.is_immutable:
        return [faults.invalid(path, new, faults.IMMUTABLE)]
    causes = []
    if "NoSet" in field.update and old is None:
        causes.append(faults.invalid(path, None, "field cannot be set once created"))
    if "NoUnset" in field.update and new is None:
        causes.append(faults.invalid(path, None, "field cannot be cleared once set"))
    if "NoModify" in field.update and new is not None and old is not None:
        causes.append(faults.invalid(path, None, "field cannot be modified once set"))
    if field.update and isinstance(new or [], list) and isinstance(old or [], list):
        causes += _items(field, (new or [], old or []), path)
    return causes


def _items(field: Schema, pair: tuple[list[Any], list[Any]], path: str) -> list[Cause]:
    names = [[_named(field, entry) if field.keys else entry for entry in entries] for entries in pair]
    causes: list[Cause] = []
    if "NoAddItem" in field.update:
        added = (index for index, name in enumerate(names[0]) if name not in names[1])
        causes += [faults.forbidden(f"{path}[{index}]", "item may not be added") for index in added]
    if "NoRemoveItem" in field.update and any(name not in names[0] for name in names[1]):
        causes.append(faults.forbidden(path, "item may not be removed"))
    return causes
