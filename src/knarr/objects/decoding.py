"""Decoding: a client's JSON in the form in which a Go server would write it back. Pure; the result is a new tree,
but that maps of strings and sets of fields are shared with what came: who writes into them must own that too.

Unknown fields are pruned, nulls and empty optional values are dropped, structs that Go always writes appear,
quantities take their canonical form, and a value of the wrong type raises BadRequest with the place in upstream's
words. `unknown_fields` only reports. Not here: default values (defaults.py), rules about values (validation.py).
"""

import base64
import binascii
from collections.abc import Container
from typing import Any, Final

from knarr.base.errors import BadRequest, Invalid
from knarr.objects import go_words, quantity, times
from knarr.objects.schema import ObjectType, Schema

Json = dict[str, Any]
_GO_NAMES: Final = {"integer": "int64", "boolean": "bool", "number": "float64", "string": "string", "bytes": "[]uint8"}
_SHOWN_MAX: Final = 10**30
_ZEROS: Final = {"string": "", "integer": 0, "boolean": False, "quantity": "0", "int-or-string": 0}


class _Mismatch(Exception):
    """A value of the wrong type; the path grows while the exception climbs. `struct` is the innermost type of it.

    `wanted` is the Go type that it cannot become; "" when `why` says it all. `not_restored` is what upstream says of
    the result of a strategic merge patch instead."""

    def __init__(self, why: str, wanted: str = "", not_restored: str = "") -> None:
        self.why = why
        self.wanted = wanted
        self.not_restored = not_restored or why
        self.path: list[str] = []
        self.struct = ""


class WrongType(BadRequest):
    """A value that its field cannot hold. `not_restored` says it of the result of a strategic merge patch."""

    def __init__(self, message: str, not_restored: str) -> None:
        super().__init__(message)
        self.not_restored = not_restored


def decoded(schema: Schema, kind: str, version: str, obj: Json) -> Json:
    """The object in Go's form. Raises WrongType."""
    return _told(kind, version, schema.type, obj, ())


def redecoded(schema: Schema, named: tuple[str, str], obj: Json, known: Json) -> Json:
    """As `decoded` of an object made of a decoded one: the fields whose values are those of `known` itself are in that
    form already and are shared with it. `named` are kind and version."""
    same: Json = {}
    fresh: Json = {}
    for key, item in obj.items():
        if item is not None and item is known.get(key):
            same[key] = item
        else:
            fresh[key] = item
    return {**same, **_told(*named, schema.type, fresh, same)}


def _told(kind: str, version: str, type_: ObjectType, value: Json, others: Container[str]) -> Json:
    try:
        return _struct(type_, value, others)
    except _Mismatch as fault:
        names = [part for part in reversed(fault.path) if part]
        why = fault.why
        if fault.wanted:
            why += f" into Go struct field {fault.struct}.{'.'.join(names)} of type {fault.wanted}"
        message = f'{kind} in version "{version}" cannot be handled as a {kind}: {why}'
        raise WrongType(message, fault.not_restored) from fault


def _struct(kind: ObjectType, value: Json, others: Container[str] = ()) -> Json:
    """`others` are fields that the caller has from elsewhere."""
    fields = kind.fields
    result: Json = {}
    for key, item in value.items():
        field = fields.get(key)
        if field is None or item is None:
            continue
        try:
            form = field.form
            if form == "string":
                if item.__class__ is not str:
                    raise _mismatch(item, "string")
                if item or field.zero != "drop":
                    result[key] = item
            elif form == "struct":
                if item.__class__ is not dict:
                    raise _mismatch(item, _go_name(field))
                result[key] = _struct(field.type, item)
            else:
                made = _value(field, item)
                if made or field.zero != "drop" or field.is_open:
                    result[key] = made
        except _Mismatch as fault:
            fault.path.append(key)
            fault.struct = fault.struct or kind.name.rpartition(".")[2]
            raise
    for key in kind.emitted:
        if key not in result and key not in others:
            field = fields[key]
            result[key] = _struct(field.type, {}) if field.form == "struct" else _ZEROS[field.form]
    return result


def _value(field: Schema, item: Any) -> Any:
    match field.form:
        case "list":
            if item.__class__ is not list:
                raise _mismatch(item, _go_name(field))
            element = field.element
            return [_entry(element, entry) for entry in item]
        case "map":
            if item.__class__ is not dict:
                raise _mismatch(item, _go_name(field))
            return _map(field.element, item)
        case "integer":
            if item.__class__ is float and item.is_integer():
                item = int(item)
            if item.__class__ is int and -field.limit <= item < field.limit:
                return item
            raise _no_integer(item, "int32" if field.limit == 2**31 else "int64")
        case "boolean":
            if item.__class__ is not bool:
                raise _mismatch(item, "bool")
            return item
        case _:
            return _rare(field, item)


def _map(element: Schema, item: Json) -> Json:
    if element.form == "string":
        for value in item.values():
            if value.__class__ is not str:
                if value is None:
                    return _map(element, {k: "" if v is None else v for k, v in item.items()})
                raise _mismatch(value, "string")
        return item
    return {key: _entry(element, value) for key, value in item.items()}


def _entry(element: Schema, entry: Any) -> Any:
    form = element.form
    if form == "struct":
        if entry is None:
            entry = {}
        if entry.__class__ is not dict:
            raise _mismatch(entry, _go_name(element))
        return _struct(element.type, entry)
    if form == "string":
        if entry.__class__ is str:
            return entry
        if entry is None:
            return ""
        raise _mismatch(entry, "string")
    return _value(element, entry)


def _rare(field: Schema, item: Any) -> Any:
    match field.form:
        case "quantity":
            return _quantity(item)
        case "int-or-string":
            if item.__class__ is str or (item.__class__ is int and -(2**31) <= item < 2**31):
                return item
            raise _unmarshalled(_no_integer(item, "int32"))
        case "string" | "duration":
            if item.__class__ is not str:
                raise _mismatch(item, "string")
            return item
        case "time":
            return _time(item, times.SECONDS)
        case "micro-time":
            return _time(item, times.MICROSECONDS)
        case "bytes":
            return _bytes(item)
        case "number":
            if isinstance(item, bool) or not isinstance(item, int | float):
                raise _mismatch(item, "float64")
            return _free(item)
        case "struct":
            return _struct(field.type, item)
        case "fields-v1":
            return item
        case _:
            return _free(item)


def _free(item: Any) -> Any:
    """A free-form value; integers that 64 bits cannot hold become floats, as in Go."""
    match item:
        case dict():
            return {key: _free(value) for key, value in item.items()}
        case list():
            return [_free(value) for value in item]
        case int() if not -(2**63) <= item < 2**64:
            return _as_float(item)
        case _:
            return item


def _as_float(item: int) -> float:
    try:
        return float(item)
    except OverflowError as error:
        raise _Mismatch("json: cannot unmarshal number", "float64") from error


def _quantity(item: Any) -> str:
    is_text = isinstance(item, str | int | float) and not isinstance(item, bool)
    try:  # what is neither text nor number is no quantity, in the same words
        return quantity.canonical(item if isinstance(item, str) else repr(item) if is_text else "{}")
    except Invalid as error:
        raise _Mismatch(str(error)) from error


def _time(item: Any, layout: str) -> str:
    if not isinstance(item, str):
        raise _unmarshalled(_mismatch(item, "string"))
    try:
        return times.canonical(item, layout)
    except Invalid as error:
        raise _Mismatch(str(error)) from error


def _bytes(item: Any) -> str:
    if not isinstance(item, str):
        raise _mismatch(item, "[]uint8")
    try:
        base64.b64decode(item, validate="\n" not in item and "\r" not in item)
    except (binascii.Error, ValueError) as error:
        at = next((i for i, c in enumerate(item) if not (c.isascii() and (c.isalnum() or c in "+/="))), len(item))
        why = f"illegal base64 data at input byte {at}"
        raise _Mismatch(why, not_restored=f"error decoding from json: {why}") from error
    return item


def _go_name(schema: Schema) -> str:
    """The type as Go names it: a struct with its package, `v1.Container`."""
    match schema.form:
        case "list":
            return f"[]{_go_name(schema.element)}"
        case "map":
            is_resources = schema.element.form == "quantity"
            return "v1.ResourceList" if is_resources else f"map[string]{_go_name(schema.element)}"
        case form:
            return _GO_NAMES.get(form) or ".".join(schema.type_name.split(".")[-2:])


def _mismatch(item: Any, wanted: str) -> _Mismatch:
    match item:
        case bool():
            found = "bool"
        case str():
            found = "string"
        case int() | float():
            found = "number"
        case list():
            found = "array"
        case _:
            found = "object"
    return _Mismatch(f"json: cannot unmarshal {found}", wanted, go_words.not_restored(item, wanted))


def _unmarshalled(fault: _Mismatch) -> _Mismatch:
    """The fault of a type that reads its JSON itself, wherever that comes from."""
    fault.not_restored = f"{fault.why} into Go value of type {fault.wanted}"
    return fault


def _no_integer(item: Any, wanted: str) -> _Mismatch:
    """A number that does not fit is told as it was written, while a line can hold it."""
    if isinstance(item, int | float) and not isinstance(item, bool) and abs(item) < _SHOWN_MAX:
        return _Mismatch(f"json: cannot unmarshal number {item}", wanted, go_words.not_restored(item, wanted))
    return _mismatch(item, wanted)


def unknown_fields(schema: Schema, obj: Any) -> list[str]:
    """`unknown field "spec.replicaz"` for every field that the schema does not know."""
    found: list[str] = []
    _unknown(schema, obj, "", found)
    return [f'unknown field "{path}"' for path in found]


def _unknown(schema: Schema, value: Any, path: str, found: list[str]) -> None:
    if schema.form == "struct":
        if value.__class__ is not dict:
            return
        fields = schema.type.fields
        for key, item in value.items():
            if item.__class__ is str and key in fields:
                continue
            field = fields.get(key)
            if field is None:
                found.append(f"{path}.{key}" if path else key)
            elif item and not field.is_scalar and field.holds_structs:
                _unknown(field, item, f"{path}.{key}" if path else key, found)
    elif schema.form == "list" and value.__class__ is list:
        for index, entry in enumerate(value):
            _unknown(schema.element, entry, f"{path}[{index}]", found)
    elif schema.form == "map" and value.__class__ is dict:
        for key, entry in value.items():
            _unknown(schema.element, entry, f"{path}.{key}", found)
