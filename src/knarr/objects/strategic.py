"""Strategic merge patch: a merge patch that knows which lists are sets or maps. Pure, path copies.

Directives: `$patch: replace|delete|merge` in objects and in list entries, `$retainKeys`, `$deleteFromPrimitiveList/F`,
`$setElementOrder/F`. Where the schema ends (free-form fields) it is a plain merge patch, as upstream.
Spec: "Strategic Merge Patch" in the API conventions; texts are upstream's.
"""

from typing import Any, Final

import msgspec

from knarr.base.errors import BadRequest
from knarr.objects import merge_patch
from knarr.objects.schema import Schema

Json = dict[str, Any]
PATCH: Final = "$patch"
RETAIN: Final = "$retainKeys"
DELETE_FROM: Final = "$deleteFromPrimitiveList/"
ORDER: Final = "$setElementOrder/"
_GONE: Final = object()


def merged(schema: Schema | None, target: Any, patch: Any) -> Any:
    """The target with the patch put in, guided by the schema. Raises BadRequest for a directive that makes no sense."""
    if not isinstance(patch, dict):
        raise BadRequest("error decoding patch: a strategic merge patch is an object")
    return _object(schema, target if isinstance(target, dict) else {}, patch)


def _object(schema: Schema | None, target: Json, patch: Json) -> Json:
    directive = patch.get(PATCH)
    if directive is not None:
        if directive == "replace":
            replaced: Json = _fresh({key: value for key, value in patch.items() if key != PATCH})
            return replaced
        if directive == "delete":
            return {}
        if directive != "merge":
            raise BadRequest(f"unknown patch type found: {directive}")
    result = dict(target)
    if RETAIN in patch:
        result = _retained(result, patch)
    orders: Json = {}
    for key, value in patch.items():
        if key in (PATCH, RETAIN):
            continue
        if key.startswith(ORDER):
            orders[key[len(ORDER) :]] = value
        elif key.startswith(DELETE_FROM):
            name = key[len(DELETE_FROM) :]
            if isinstance(result.get(name), list) and isinstance(value, list):
                gone = {_token(entry) for entry in value}
                result[name] = [entry for entry in result[name] if _token(entry) not in gone]
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = _field(_place(schema, key), result.get(key), value)
    for name, order in orders.items():
        if isinstance(order, list) and isinstance(target.get(name), list) and name in result:
            place = _place(schema, name)
            key = place.patch_key if place else ""
            wanted = [_name(entry, key) for entry in order]
            _check_order(patch.get(name), wanted, key)
            result[name] = _interleaved(result[name], wanted, target.get(name), key)
    return result


def _check_order(given: Any, wanted: list[Any], key: str) -> None:
    """The entries of a patch must stand in the order that the same patch asks for."""
    if not isinstance(given, list):
        return
    names = [_name(entry, key) for entry in given if not (isinstance(entry, dict) and PATCH in entry)]
    rest = iter(wanted)
    if not all(any(name == each for each in rest) for name in names):
        shown = [f"[{' '.join(map(str, each))}]" for each in (names, wanted)]
        raise BadRequest(f"The order in patch list:\n{shown[0]}\n doesn't match $setElementOrder list:\n{shown[1]}\n")


def _retained(target: Json, patch: Json) -> Json:
    keys = patch[RETAIN]
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise BadRequest("retainKeys list contains non-string")
    retained = frozenset(keys)
    for key, value in patch.items():
        if not key.startswith("$") and key not in retained and value is not None:
            raise BadRequest("patch contains fields not in retainKeys list")
    return {key: value for key, value in target.items() if key in retained}


def _place(schema: Schema | None, key: str) -> Schema | None:
    if schema is None:
        return None
    if schema.form == "struct":
        return schema.type.fields.get(key)
    return schema.element if schema.form == "map" else None


def _field(schema: Schema | None, old: Any, value: Any) -> Any:
    if isinstance(value, dict):
        if isinstance(old, dict) and not (schema and "replace" in schema.patch):
            return _object(schema, old, value)
        return _fresh({key: each for key, each in value.items() if key != PATCH})
    if isinstance(value, list):
        if old is None:
            return _fresh(value)
        if schema is not None and schema.form == "list" and "merge" in schema.patch:
            return _list(schema, old if isinstance(old, list) else [], value)
        if any(isinstance(entry, dict) and PATCH in entry for entry in value):
            return _fresh(value)
    return value


def _list(schema: Schema, old: list[Any], patch: list[Any]) -> list[Any]:
    key = schema.patch_key
    if not key:
        known = {_token(entry) for entry in old}
        added = [entry for entry in dict.fromkeys(map(_primitive, patch)) if entry not in known]
        return _interleaved(old + added, patch, old, "")
    if any(isinstance(entry, dict) and entry.get(PATCH) == "replace" for entry in patch):
        return [_fresh(entry) for entry in patch if isinstance(entry, dict) and entry.get(PATCH) != "replace"]
    return _interleaved(_merged_list(schema, old, patch, key), [entry[key] for entry in patch], old, key)


def _merged_list(schema: Schema, old: list[Any], patch: list[Any], key: str) -> list[Any]:
    """The entries of both, those of one name merged, those to be deleted left out."""
    result: list[Any] = list(old)
    places: dict[Any, list[int]] = {}
    for index, held in enumerate(result):
        places.setdefault(_token(_name(held, key)), []).append(index)
    for entry in patch:
        if not isinstance(entry, dict):
            raise BadRequest(f"unable to merge a list that holds {entry!r}: its entries are objects named by {key}")
        if key not in entry:
            raise BadRequest(f"map: map[{' '.join(sorted(entry))}] does not contain declared merge key: {key}")
        at = places.get(_token(entry[key]))
        if entry.get(PATCH) == "delete":
            for index in places.pop(_token(entry[key]), ()):
                result[index] = _GONE
        elif at:
            result[at[0]] = _object(schema.element, result[at[0]], entry)
        else:
            places[_token(entry[key])] = [len(result)]
            result.append(_fresh(entry))
    return [entry for entry in result if entry is not _GONE]


def _primitive(entry: Any) -> Any:
    if isinstance(entry, dict | list):
        raise BadRequest("a set of primitive values cannot hold an object or a list")
    return entry


def _name(entry: Any, key: str) -> Any:
    return entry.get(key) if key and isinstance(entry, dict) else entry


def _interleaved(values: list[Any], wanted: list[Any], server: Any, key: str) -> list[Any]:
    """The list with the client's entries in the client's order, and those that only the server has among them.

    One of the server's goes before the next of the client's if it was before it on the server, else after it.
    """
    order = _places([_name(entry, key) for entry in server] if isinstance(server, list) else [])
    asked = _places(wanted)
    names = [_token(_name(entry, key)) for entry in values]
    given = sorted((index for index, name in enumerate(names) if name in asked), key=lambda index: asked[names[index]])
    rest = [index for index, name in enumerate(names) if name not in asked]
    result: list[Any] = []
    ours = theirs = 0
    while ours < len(given) and theirs < len(rest):
        our_name, their_name = names[given[ours]], names[rest[theirs]]
        if our_name in order and their_name in order and order[their_name] < order[our_name]:
            result.append(values[rest[theirs]])
            theirs += 1
        else:
            result.append(values[given[ours]])
            ours += 1
    return result + [values[index] for index in given[ours:] + rest[theirs:]]


def _places(names: list[Any]) -> dict[Any, int]:
    """Where each name stands first."""
    found: dict[Any, int] = {}
    for index, name in enumerate(names):
        found.setdefault(_token(name), index)
    return found


def _token(name: Any) -> Any:
    """A name as a key: lists are long, and looking through them for every entry takes long."""
    return (msgspec.json.encode(name),) if isinstance(name, dict | list) else name


def _fresh(value: Any) -> Any:
    """A value of a patch where there was none: it is taken as it is, without nulls, directives and deletions."""
    if isinstance(value, dict):
        return merge_patch.merged({}, {k: _fresh(v) for k, v in value.items() if not k.startswith("$")})
    if isinstance(value, list):
        return [_fresh(entry) for entry in value if not (isinstance(entry, dict) and _is_directive(entry))]
    return value


def _is_directive(entry: Json) -> bool:
    """Whether an entry of a list only says what to do."""
    return entry.get(PATCH) == "delete" or entry.keys() == {PATCH}
