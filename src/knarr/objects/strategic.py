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
        if isinstance(order, list) and isinstance(result.get(name), list):
            given = patch.get(name)
            result[name] = _ordered(_place(schema, name), result[name], order, given if isinstance(given, list) else [])
    return result


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
        return _object(schema, {}, value)
    if isinstance(value, list):
        if schema is not None and schema.form == "list" and "merge" in schema.patch:
            return _list(schema, old if isinstance(old, list) else [], value)
        if any(isinstance(entry, dict) and PATCH in entry for entry in value):
            return [_fresh(entry) for entry in value if not (isinstance(entry, dict) and entry.keys() == {PATCH})]
        return value
    return value


def _list(schema: Schema, old: list[Any], patch: list[Any]) -> list[Any]:
    if not schema.patch_key:
        result = list(old)
        result += [entry for entry in dict.fromkeys(map(_hashable, patch)) if entry not in old]
        return result
    key = schema.patch_key
    element = schema.element
    if any(isinstance(entry, dict) and entry.get(PATCH) == "replace" for entry in patch):
        return [_fresh(entry) for entry in patch if isinstance(entry, dict) and entry.get(PATCH) != "replace"]
    result = list(old)
    for entry in patch:
        if not isinstance(entry, dict):
            raise BadRequest(f"unable to merge a list that holds {entry!r}: its entries are objects named by {key}")
        if key not in entry:
            raise BadRequest(f"map: map[{' '.join(sorted(entry))}] does not contain declared merge key: {key}")
        at = [index for index, held in enumerate(result) if isinstance(held, dict) and held.get(key) == entry[key]]
        if entry.get(PATCH) == "delete":
            result = [held for index, held in enumerate(result) if index not in at]
        elif at:
            result[at[0]] = _object(element, result[at[0]], entry)
        else:
            result.append(_object(element, {}, entry))
    return result


def _hashable(entry: Any) -> Any:
    if isinstance(entry, dict | list):
        raise BadRequest("a set of primitive values cannot hold an object or a list")
    return entry


def _ordered(schema: Schema | None, values: list[Any], order: list[Any], patch: list[Any]) -> list[Any]:
    """The list in the client's order; entries that only the server has keep their place before their successor."""
    key = schema.patch_key if schema else ""

    def name(entry: Any) -> Any:
        return entry.get(key) if key and isinstance(entry, dict) else entry

    wanted = [name(entry) for entry in order]
    rank = {value: index for index, value in enumerate(wanted) if not isinstance(value, dict | list)}
    listed = sorted((entry for entry in values if name(entry) in rank), key=lambda entry: rank[name(entry)])
    server_only = [(index, entry) for index, entry in enumerate(values) if name(entry) not in rank]
    places = {name(entry): index for index, entry in enumerate(values)}
    result: list[Any] = []
    for entry in listed:
        while server_only and server_only[0][0] < places[name(entry)]:
            result.append(server_only.pop(0)[1])
        result.append(entry)
    return result + [entry for _, entry in server_only]


def _fresh(value: Any) -> Any:
    """A value of a patch as an object's own: nulls and directives are left out."""
    if isinstance(value, dict):
        return merge_patch.merged({}, {k: _fresh(v) for k, v in value.items() if not k.startswith("$")})
    return value
