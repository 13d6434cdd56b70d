"""Kubernetes' protobuf bodies as JSON values: `k8s\\0`, a runtime.Unknown envelope, and the message of one kind.

The field numbers come from the facts table of types, which the caller gives; a type's decoder is built when it is first
met. Reading the wire by hand costs less than a descriptor pool (no library in memory, no second walk from messages to
JSON). Go writes proto2 zero values of plain fields: they are dropped where the table's `zero` says so.
There is no encoder: every client reads JSON. Envelope: k8s.io/apimachinery/pkg/runtime/generated.proto.
"""

import base64
import functools
import struct
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from knarr.base import clock
from knarr.base.errors import BadRequest, TooLarge
from knarr.wire import strict_json

MAGIC: Final = b"k8s\x00"
DEPTH_MAX: Final = 100
_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Convert = Callable[[bytes, int, int, int], Any]
"""(buffer, start, end, depth) → the JSON value of one length-delimited field."""
Fields = dict[int, tuple[str, str, Any, bool]]
"""tag → (JSON name, what to do with the value: one, many, map or inline; its converter; whether a zero is dropped)."""


class Decoder:
    """Decodes bodies with the types of one facts table (`types.json`, under its key `types`)."""

    def __init__(self, types: Mapping[str, Mapping[str, Any]]) -> None:
        self._types = types
        self._fields: dict[str, Fields] = {}
        self._names = {tuple(kind): name for name, row in types.items() for kind in row.get("kinds", ())}

    def decode(self, content: bytes) -> dict[str, Any]:
        """The object of an enveloped body. Raises BadRequest when it is not one, or of an unknown kind."""
        api_version, kind, raw = envelope(content)
        value: dict[str, Any] = {"apiVersion": api_version, "kind": kind}
        value.update(self.decode_type(raw, self.type_name(api_version, kind)))
        strict_json.check_shape(value)
        return value

    def type_name(self, api_version: str, kind: str) -> str:
        """The facts table's name of a kind; options (DeleteOptions, …) are served under every group."""
        group, _, version = api_version.rpartition("/")
        name = self._names.get((group, version, kind))
        if name is None and kind.endswith("Options") and f"{_META}{kind}" in self._types:
            name = f"{_META}{kind}"
        if name is None:
            raise BadRequest(f'no kind "{kind}" is registered for version "{api_version}"')
        return name

    def decode_type(self, content: bytes, type_name: str) -> dict[str, Any]:
        """The JSON object of one bare message."""
        try:
            return self._message(type_name, content, 0, len(content), 0)
        except (IndexError, UnicodeDecodeError, OverflowError, struct.error) as error:
            raise BadRequest(f"couldn't parse protobuf {type_name.rpartition('.')[2]}: {error}") from error

    def _message(self, type_name: str, buffer: bytes, position: int, end: int, depth: int) -> dict[str, Any]:
        fields = self._fields.get(type_name)
        if fields is None:
            fields = self._fields[type_name] = self._compile(type_name)
        if depth > DEPTH_MAX:
            raise BadRequest(f"couldn't parse protobuf: nested deeper than {DEPTH_MAX} levels")
        result: dict[str, Any] = {}
        while position < end:
            tag = buffer[position]
            position += 1
            if tag > 127:
                tag, position = _varint(buffer, position - 1)
            wire = tag & 7
            if wire == 2:
                size = buffer[position]
                position += 1
                if size > 127:
                    size, position = _varint(buffer, position - 1)
                start, position = position, position + size
                if position > end:
                    raise BadRequest("couldn't parse protobuf: a field is longer than its message")
                field = fields.get(tag)
                if field is not None:
                    name, mode, convert, drops_zero = field
                    value = convert(buffer, start, position, depth + 1)
                    if mode == "many":
                        values = result.setdefault(name, [])
                        values.append(value)
                        if len(values) > strict_json.VALUES_MAX:
                            raise TooLarge(f"Request entity too large: more than {strict_json.VALUES_MAX} values")
                    elif mode == "map":
                        result.setdefault(name, {})[value[0]] = value[1]
                    elif mode == "inline":
                        result.update(value)
                    elif value is not None and (value != "" or not drops_zero):
                        result[name] = value
            elif wire == 0:
                number, position = _varint(buffer, position)
                field = fields.get(tag)
                if field is not None:
                    name, mode, convert, drops_zero = field
                    if mode == "many":
                        result.setdefault(name, []).append(convert(number))
                    elif number or not drops_zero:
                        result[name] = convert(number)
            else:
                position = self._fixed(fields.get(tag), buffer, position, wire, result)
        if position != end:
            raise BadRequest("couldn't parse protobuf: a field is longer than its message")
        return result

    def _fixed(self, field: Any, buffer: bytes, position: int, wire: int, result: dict[str, Any]) -> int:
        width = {1: 8, 5: 4}.get(wire)
        if width is None:
            raise BadRequest(f"couldn't parse protobuf: wire type {wire} is not used")
        if position + width > len(buffer):
            raise BadRequest("couldn't parse protobuf: a field is longer than its message")
        if field is not None and width == 8:
            (number,) = struct.unpack_from("<d", buffer, position)
            if number != number or number in (float("inf"), float("-inf")):
                raise BadRequest(f"{field[0]}: {number} has no JSON value")
            if number or not field[3]:
                result[field[0]] = number
        return position + width

    def _compile(self, type_name: str) -> Fields:
        row = self._types[type_name]
        fields: Fields = {}
        for name, facts in row.get("inline", {}).items():
            fields[facts["pb"] << 3 | 2] = (name, "inline", functools.partial(self._message, facts["type"]), False)
        for name, facts in row["fields"].items():
            if "pb" not in facts or "inline" in facts:
                continue
            number, kind = facts["pb"][:2]
            drops = facts.get("zero") == "drop"
            if facts["type"] == "map":
                fields[number << 3 | 2] = (name, "map", self._map_entry(facts["of"]), False)
            elif "wrap" in facts:
                fields[number << 3 | 2] = (name, "one", _wrapped, False)
            else:
                is_list = facts["type"] == "list"
                element = facts["of"] if is_list else facts["type"]
                mode = "many" if is_list else "one"
                if kind in _VARINTS:
                    fields[number << 3] = (name, mode, _VARINTS[kind], drops and not is_list)
                elif kind == "double":
                    fields[number << 3 | 1] = (name, mode, None, drops)
                else:
                    fields[number << 3 | 2] = (name, mode, self._converter(element), drops and not is_list)
        return fields

    def _converter(self, element: Any) -> Convert:
        if isinstance(element, Mapping):
            return _wrapped if "wrap" in element else self._converter(element["type"])
        scalar = self._types[element].get("scalar", "") if element in self._types else element
        if scalar == "any" and element != scalar and "Or" in element:
            return self._union(element)
        if scalar in _SCALARS:
            return _SCALARS[scalar]
        if scalar in ("object", "any", "fields-v1"):
            return self._raw
        return functools.partial(self._message, element)

    def _map_entry(self, element: Any) -> Convert:
        convert = self._converter(element)

        def entry(buffer: bytes, start: int, end: int, depth: int) -> tuple[str, Any]:
            key, value = "", convert(b"", 0, 0, depth)
            for tag, first, last in _lengths(buffer, start, end):
                if tag == 0x0A:
                    key = str(buffer[first:last], "utf-8")
                elif tag == 0x12:
                    value = convert(buffer, first, last, depth)
            return key, value

        return entry

    def _raw(self, buffer: bytes, start: int, end: int, depth: int) -> Any:
        """RawExtension, JSON and FieldsV1: field 1 holds JSON text, or again an envelope."""
        for tag, first, last in _lengths(buffer, start, end):
            if tag == 0x0A and last > first:
                content = buffer[first:last]
                if not content.startswith(MAGIC):
                    return strict_json.decode(content)
                if depth > 8:
                    raise BadRequest("couldn't parse protobuf: envelopes are nested too deep")
                return self.decode(content)
        return None

    def _union(self, element: str) -> Convert:
        """JSONSchemaPropsOr…: a schema, or the other thing (a boolean, schemas, names)."""
        schema = f"{element.rpartition('.')[0]}.JSONSchemaProps"
        fields = self._types[element]["pbFields"]
        names = {number: (name, kind) for name, (number, kind) in fields.items()}

        def convert(buffer: bytes, start: int, end: int, depth: int) -> Any:
            if "allows" in fields:
                otherwise: Any = bool(_numbers(buffer, start, end).get(fields["allows"][0], 0))
            else:
                otherwise = []
            for tag, first, last in _lengths(buffer, start, end):
                name, kind = names.get(tag >> 3, ("", ""))
                if name == "schema":
                    return self._message(schema, buffer, first, last, depth + 1)
                if kind == "repeated string":
                    otherwise.append(str(buffer[first:last], "utf-8"))
                elif name:
                    otherwise.append(self._message(schema, buffer, first, last, depth + 1))
            return otherwise

        return convert


def envelope(content: bytes) -> tuple[str, str, bytes]:
    """(apiVersion, kind, the message's bytes) of a body."""
    if not content.startswith(MAGIC):
        raise BadRequest("the body does not begin with the protobuf prefix of Kubernetes")
    api_version = kind = ""
    raw = b""
    try:
        for tag, start, end in _lengths(content, 4, len(content)):
            if tag == 0x0A:
                for inner, first, last in _lengths(content, start, end):
                    text = str(content[first:last], "utf-8")
                    api_version, kind = (text, kind) if inner == 0x0A else (api_version, text)
            elif tag == 0x12:
                raw = content[start:end]
            elif tag == 0x1A and end > start:
                raise BadRequest("a content encoding inside protobuf is not supported")
    except (IndexError, UnicodeDecodeError) as error:
        raise BadRequest(f"couldn't parse the protobuf envelope: {error}") from error
    return api_version, kind, raw


def _varint(buffer: bytes, position: int) -> tuple[int, int]:
    result = shift = 0
    while True:
        byte = buffer[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 128:
            return result & 0xFFFFFFFFFFFFFFFF, position
        shift += 7
        if shift > 63:
            raise BadRequest("couldn't parse protobuf: a number is longer than 64 bits")


def _lengths(buffer: bytes, position: int, end: int) -> list[tuple[int, int, int]]:
    """(tag, start, end) of the length-delimited fields of a message; varints are skipped."""
    found = []
    while position < end:
        tag, position = _varint(buffer, position)
        size, position = _varint(buffer, position)
        if tag & 7 == 0:
            continue
        if tag & 7 != 2 or position + size > end:
            raise BadRequest("couldn't parse protobuf: a field is longer than its message")
        found.append((tag, position, position + size))
        position += size
    return found


def _numbers(buffer: bytes, position: int, end: int) -> dict[int, int]:
    """The varint fields of a message by number."""
    found = {}
    while position < end:
        tag, position = _varint(buffer, position)
        number, position = _varint(buffer, position)
        if tag & 7 == 2:
            position += number
        elif tag & 7 == 0:
            found[tag >> 3] = _signed(number)
    return found


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number


def _string(buffer: bytes, start: int, end: int, _depth: int) -> str:
    return str(buffer[start:end], "utf-8")


def _base64(buffer: bytes, start: int, end: int, _depth: int) -> str:
    return base64.b64encode(buffer[start:end]).decode("ascii")


def _time(buffer: bytes, start: int, end: int, _depth: int) -> str | None:
    moment = _moment(buffer, start, end)
    return None if moment is None else clock.rfc3339(moment)


def _micro_time(buffer: bytes, start: int, end: int, _depth: int) -> str | None:
    moment = _moment(buffer, start, end)
    return None if moment is None else clock.rfc3339_micro(moment)


def _moment(buffer: bytes, start: int, end: int) -> datetime | None:
    """None is Go's zero time, which is sent as an empty message."""
    numbers = _numbers(buffer, start, end)
    seconds, nanos = numbers.get(1, 0), numbers.get(2, 0)
    if not seconds and not nanos:
        return None
    return _EPOCH + timedelta(seconds=seconds, microseconds=nanos // 1000)


def _quantity(buffer: bytes, start: int, end: int, _depth: int) -> str:
    return next((str(buffer[a:b], "utf-8") for tag, a, b in _lengths(buffer, start, end) if tag == 0x0A), "0")


def _int_or_string(buffer: bytes, start: int, end: int, _depth: int) -> int | str:
    numbers = _numbers(buffer, start, end)
    if numbers.get(1, 0) == 0:
        return numbers.get(2, 0)
    return next((str(buffer[a:b], "utf-8") for tag, a, b in _lengths(buffer, start, end) if tag == 0x1A), "")


def _duration(buffer: bytes, start: int, end: int, _depth: int) -> str:
    return f"{_numbers(buffer, start, end).get(1, 0)}ns"


def _wrapped(buffer: bytes, start: int, end: int, _depth: int) -> list[str]:
    return [str(buffer[a:b], "utf-8") for tag, a, b in _lengths(buffer, start, end) if tag == 0x0A]


_VARINTS: Final[Mapping[str, Callable[[int], Any]]] = {
    "int32": _signed,
    "int64": _signed,
    "uint32": int,
    "bool": bool,
}
_SCALARS: Final[Mapping[str, Convert]] = {
    "string": _string,
    "bytes": _base64,
    "time": _time,
    "micro-time": _micro_time,
    "quantity": _quantity,
    "int-or-string": _int_or_string,
    "duration": _duration,
}
