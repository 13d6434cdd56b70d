"""CRI messages as protobuf bytes (proto3), and back: the values of cri/messages by the numbers of cri/facts/cri.json.

A codec for a message type is built when it is first used. Unknown fields are skipped and zero values not written, as
proto3 says. Not here: gRPC itself (grpc_client.py, criserver/grpc.py).
Encoding: protobuf.dev/programming-guides/encoding.
"""

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from importlib import resources
from types import ModuleType
from typing import Any, Final

import msgspec

from knarr.base.errors import BadRequest
from knarr.cri.messages import config, container, enums, image, runtime, sandbox, stats
from knarr.wire.varint import varint

_MODULES: Final[tuple[ModuleType, ...]] = (config, container, image, runtime, sandbox, stats)
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_SIGNED: Final = ("int32", "int64")
_MASK: Final = (1 << 64) - 1
DEPTH_MAX: Final = 50

Value = Any


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    number: int
    type: str
    is_repeated: bool = False
    key: str = ""
    """For maps: the type of the keys; `type` is that of the values."""


@cache
def facts() -> dict[str, Any]:
    """The table of services, messages and enums."""
    table: dict[str, Any] = json.loads(resources.files("knarr.cri").joinpath("facts/cri.json").read_text())
    return table


@cache
def message_type(name: str) -> type[msgspec.Struct]:
    """The type of cri/messages with the specification's name. KeyError for one that knarr leaves out."""
    for module in _MODULES:
        found = getattr(module, name, None)
        if isinstance(found, type) and issubclass(found, msgspec.Struct):
            return found
    raise KeyError(name)


def encode(message: msgspec.Struct) -> bytes:
    """The message's bytes."""
    return b"".join(_encode(message))


def decode(kind: type[msgspec.Struct], content: bytes) -> msgspec.Struct:
    """The message of that type. Raises BadRequest."""
    try:
        return _decode(kind, content, 0)
    except (IndexError, struct.error, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise BadRequest(f"{kind.__name__}: not a protobuf message: {error}") from error


@cache
def _fields(name: str) -> tuple[_Field, ...]:
    held = set(message_type(name).__struct_fields__)
    rows = []
    for field, row in facts()["messages"][name]["fields"].items():
        if field not in held:
            continue
        kind = row["of"] if row["type"] == "map" else row["type"]
        rows.append(_Field(field, row["number"], kind, bool(row.get("repeated")), row.get("key", "")))
    return tuple(sorted(rows, key=lambda row: row.number))


@cache
def _by_number(name: str) -> dict[int, _Field]:
    return {row.number: row for row in _fields(name)}


def _encode(message: msgspec.Struct) -> Iterator[bytes]:
    for row in _fields(type(message).__name__):
        value = getattr(message, row.name)
        if row.key:
            for key, item in value.items():
                entry = _one(1, row.key, key) + _one(2, row.type, item)
                yield _tag(row.number, _LENGTH) + varint(len(entry)) + entry
        elif not row.is_repeated:
            if value is not None and (value or isinstance(value, msgspec.Struct)):
                yield _one(row.number, row.type, value)
        elif _is_packable(row.type):
            if value:
                packed = b"".join(_scalar(row.type, item) for item in value)
                yield _tag(row.number, _LENGTH) + varint(len(packed)) + packed
        else:
            for item in value:
                yield _one(row.number, row.type, item)


def _one(number: int, kind: str, value: Value) -> bytes:
    if isinstance(value, msgspec.Struct):
        content = encode(value)
    elif kind == "string":
        content = value.encode()
    elif kind == "bytes":
        content = value
    else:
        return _tag(number, _FIXED64 if kind == "double" else _VARINT) + _scalar(kind, value)
    return _tag(number, _LENGTH) + varint(len(content)) + bytes(content)


def _is_packable(kind: str) -> bool:
    return kind not in ("string", "bytes") and kind not in facts()["messages"]


def _scalar(kind: str, value: Value) -> bytes:
    return struct.pack("<d", value) if kind == "double" else varint(int(value) & _MASK)


def _tag(number: int, wire: int) -> bytes:
    return varint(number << 3 | wire)


def _decode(kind: type[msgspec.Struct], content: bytes, depth: int) -> msgspec.Struct:
    if depth > DEPTH_MAX:
        raise ValueError(f"nested deeper than {DEPTH_MAX}")
    rows, values = _by_number(kind.__name__), dict[str, Value]()
    for number, wire, raw in _wire(content):
        row = rows.get(number)
        if row is None:
            continue
        if row.key:
            key, item = _entry(row, raw, depth)
            values.setdefault(row.name, {})[key] = item
        elif not row.is_repeated:
            values[row.name] = _value(row.type, wire, raw, depth)
        elif wire == _LENGTH and _is_packable(row.type):
            values.setdefault(row.name, []).extend(_packed(row.type, raw))
        else:
            values.setdefault(row.name, []).append(_value(row.type, wire, raw, depth))
    made = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return kind(**made)


def _wire(content: bytes) -> Iterator[tuple[int, int, Value]]:
    """(field number, wire type, raw value) of each field."""
    place = 0
    while place < len(content):
        tag, place = _read_varint(content, place)
        wire = tag & 7
        raw: Value
        if wire == _VARINT:
            raw, place = _read_varint(content, place)
        elif wire == _LENGTH:
            length, place = _read_varint(content, place)
            if place + length > len(content):
                raise ValueError("a field is longer than its message")
            raw, place = content[place : place + length], place + length
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
            raw, place = content[place : place + size], place + size
            if len(raw) < size:
                raise ValueError("a field is longer than its message")
        else:
            raise ValueError(f"wire type {wire} is not used")
        yield tag >> 3, wire, raw


def _read_varint(content: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & _MASK, place
        shift += 7
        if shift > 63:
            raise ValueError("a number has more than ten bytes")


def _entry(row: _Field, raw: Value, depth: int) -> tuple[Value, Value]:
    """Key and value of a map's entry; what is absent is the type's zero."""
    if not isinstance(raw, bytes):
        raise ValueError(f"{row.name}: not a map")
    key, item = _zero(row.key), _zero(row.type)
    for number, wire, inner in _wire(raw):
        if number == 1:
            key = _value(row.key, wire, inner, depth)
        elif number == 2:
            item = _value(row.type, wire, inner, depth)
    return key, item


def _zero(kind: str) -> Value:
    zeros: dict[str, Value] = {"string": "", "bytes": b"", "bool": False, "double": 0.0}
    if kind in facts()["messages"]:
        return message_type(kind)()
    return zeros.get(kind, 0)


def _packed(kind: str, raw: bytes) -> Iterator[Value]:
    if kind == "double":
        yield from (value for (value,) in struct.iter_unpack("<d", raw))
        return
    place = 0
    while place < len(raw):
        number, place = _read_varint(raw, place)
        yield _value(kind, _VARINT, number, 0)


def _value(kind: str, wire: int, raw: Value, depth: int) -> Value:
    is_text = isinstance(raw, bytes)
    if kind in ("string", "bytes") or kind in facts()["messages"]:
        if wire != _LENGTH or not is_text:
            raise ValueError(f"{kind}: wire type {wire}")
        if kind == "bytes":
            return raw
        return raw.decode() if kind == "string" else _decode(message_type(kind), raw, depth + 1)
    if kind == "double":
        return struct.unpack("<d", raw)[0]
    if wire != _VARINT:
        raise ValueError(f"{kind}: wire type {wire}")
    if kind == "bool":
        return bool(raw)
    if kind in _SIGNED:
        signed = raw - (1 << 64) if raw >> 63 else raw
        return signed if kind == "int64" else (signed + (1 << 31)) % (1 << 32) - (1 << 31)
    return raw if kind.startswith("uint") else _enum(kind, raw)


def _enum(kind: str, number: int) -> IntEnum:
    made: Callable[[int], IntEnum] = getattr(enums, kind)
    return made(number)
