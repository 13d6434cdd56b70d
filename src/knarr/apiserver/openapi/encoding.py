"""The protobuf wire form, as far as OpenAPI documents need it: fields that are messages, texts and flags.

Spec: Protocol Buffers encoding; what the fields mean is gnostic.py's and gnostic_v3.py's.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from knarr.wire.varint import varint


def message(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def text(number: int, value: str) -> bytes:
    return message(number, value.encode()) if value else b""


def texts(number: int, values: Iterable[str]) -> bytes:
    return b"".join(message(number, value.encode()) for value in values)


def flag(number: int, is_set: bool) -> bytes:
    return varint(number << 3) + b"\x01" if is_set else b""


def named(number: int, name: str, content: bytes) -> bytes:
    """One entry of what gnostic has instead of maps."""
    return message(number, text(1, name) + message(2, content))


def anything(value: Any) -> bytes:
    """An Any: its value as YAML, which JSON is."""
    return text(2, msgspec.json.encode(value).decode() + "\n")


def extensions(number: int, value: Mapping[str, Any]) -> bytes:
    """The `x-` fields."""
    return b"".join(named(number, key, anything(each)) for key, each in value.items() if key.startswith("x-"))
