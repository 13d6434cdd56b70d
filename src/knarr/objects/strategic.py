"""Strategic merge patch: a merge patch that knows which lists are sets or maps. Pure, path copies.

Directives: `$patch: replace|delete|merge` in objects and in list entries, `$retainKeys`, `$deleteFromPrimitiveList/F`,
`$setElementOrder/F`. Where the schema ends (free-form fields) it is a plain merge patch, as upstream.
Spec: "Strategic Merge Patch" in the API conventions; texts are upstream's.
"""

from typing import Any, Final

from knarr.base.errors import BadRequest
from knarr.objects import merge_patch
from knarr.objects.schema import Schema

Json = dict[str, Any]
PATCH: Final = "$patch"
RETAIN: Final = "$retainKeys"
DELETE_FROM: Final = "$deleteFromPrimitiveList/"
ORDER: Final = "$setElementOrder/"


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
                result[name] = [entry for entry in result[name] if entry not in value]
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
        raise BadRequest(f"The order in patch list:\n{names}\n doesn't match $setElementOrder list:\n{wanted}\n")


def _retained(target: Json, patch: Json) -> Json:
    keys = patch[RETAIN]
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise BadRequest("retainKeys list contains non-string")
    for key, value in patch.items():
        if not key.startswith("$") and key not in keys and value is not None:
            raise BadRequest("patch contains fields not in retainKeys list")
    return {key: value for key, value in target.items() if key in keys}


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
        added = [entry for entry in dict.fromkeys(map(_primitive, patch)) if entry not in old]
        return _interleaved(old + added, patch, old, "")
    if any(isinstance(entry, dict) and entry.get(PATCH) == "replace" for entry in patch):
        return [_fresh(entry) for entry in patch if isinstance(entry, dict) and entry.get(PATCH) != "replace"]
    result = list(old)
    for entry in patch:
        if not isinstance(entry, dict):
            raise BadRequest(f"unable to merge a list that holds {entry!r}: its entries are objects named by {key}")
        if key not in entry:
            raise BadRequest(f"map: map[{' '.join(sorted(entry))}] does not contain declared merge key: {key}")
        at = [index for index, held in enumerate(result) if _name(held, key) == entry[key]]
        if entry.get(PATCH) == "delete":
            result = [held for index, held in enumerate(result) if index not in at]
        elif at:
            result[at[0]] = _object(schema.element, result[at[0]], entry)
        else:
            result.append(_fresh(entry))
    return _interleaved(result, [entry[key] for entry in patch], old, key)


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
    order = [_name(entry, key) for entry in server] if isinstance(server, list) else []
    given = sorted((e for e in values if _name(e, key) in wanted), key=lambda entry: wanted.index(_name(entry, key)))
    rest = [entry for entry in values if _name(entry, key) not in wanted]
    result: list[Any] = []
    while given and rest:
        ours, theirs = _name(given[0], key), _name(rest[0], key)
        is_before = ours in order and theirs in order and order.index(theirs) < order.index(ours)
        result.append(rest.pop(0) if is_before else given.pop(0))
    return result + given + rest


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
