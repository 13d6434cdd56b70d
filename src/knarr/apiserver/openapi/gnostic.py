"""Gnostic: the OpenAPI v2 document as the protobuf message that kubectl up to 1.28 asks for.

Only the messages and fields that documents.py makes. Spec: openapi.v2 Document of gnostic (field numbers below).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

Json = Mapping[str, Any]
METHODS: Final = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}


def document(value: Json) -> bytes:
    """The encoded Document of a v2 document."""
    info = _text(1, value["info"]["title"]) + _text(2, value["info"]["version"])
    paths = b"".join(_named(2, name, _path(path)) for name, path in value["paths"].items())
    definitions = b"".join(_named(1, name, schema(each)) for name, each in value["definitions"].items())
    return _text(1, value["swagger"]) + _message(2, info) + _message(8, paths) + _message(9, definitions)


def _varint(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


def _message(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _text(number: int, text: str) -> bytes:
    return _message(number, text.encode()) if text else b""


def _texts(number: int, texts: Iterable[str]) -> bytes:
    return b"".join(_message(number, text.encode()) for text in texts)


def _flag(number: int, is_set: bool) -> bytes:
    return _varint(number << 3) + b"\x01" if is_set else b""


def _named(number: int, name: str, content: bytes) -> bytes:
    return _message(number, _text(1, name) + _message(2, content))


def _any(value: Any) -> bytes:
    """An Any: its value as YAML, which JSON is."""
    return _text(2, msgspec.json.encode(value).decode() + "\n")


def _extensions(number: int, value: Json) -> bytes:
    return b"".join(_named(number, key, _any(each)) for key, each in value.items() if key.startswith("x-"))


def _path(path: Json) -> bytes:
    made = b"".join(_message(METHODS[method], _operation(each)) for method, each in path.items() if method in METHODS)
    return made + b"".join(_message(9, _parameter(each)) for each in path["parameters"])


def _operation(operation: Json) -> bytes:
    return b"".join(
        (
            _text(5, operation["operationId"]),
            _texts(6, operation["produces"]),
            _texts(7, operation["consumes"]),
            *(_message(8, _parameter(each)) for each in operation["parameters"]),
            _message(9, b"".join(_named(1, code, _response(each)) for code, each in operation["responses"].items())),
            _extensions(13, operation),
        )
    )


def _response(response: Json) -> bytes:
    content = _text(1, response["description"]) + _message(2, _message(1, schema(response["schema"])))
    return _message(1, content)


def _parameter(parameter: Json) -> bytes:
    """A ParametersItem: a body parameter, or a query or path parameter."""
    if parameter["in"] == "body":
        body = b"".join(
            (
                _text(2, "body"),
                _text(3, "body"),
                _flag(4, parameter.get("required", False)),
                _message(5, schema(parameter["schema"])),
            )
        )
        return _message(1, _message(1, body))
    is_query = parameter["in"] == "query"
    content = b"".join(
        (
            _flag(1, parameter.get("required", False)),
            _text(2, parameter["in"]),
            _text(4, parameter["name"]),
            _text(6 if is_query else 5, parameter["type"]),
        )
    )
    return _message(1, _message(2, _message(3 if is_query else 4, content)))


def schema(value: Json) -> bytes:
    """An encoded Schema."""
    parts = [_text(1, value.get("$ref", "")), _text(2, value.get("format", "")), _text(4, value.get("description", ""))]
    if "default" in value:
        parts.append(_message(5, _any(value["default"])))
    parts.append(_texts(19, value.get("required", ())))
    parts += [_message(20, _any(each)) for each in value.get("enum", ())]
    if "additionalProperties" in value:
        parts.append(_message(21, _message(1, schema(value["additionalProperties"]))))
    if "type" in value:
        parts.append(_message(22, _text(1, value["type"])))
    if "items" in value:
        parts.append(_message(23, _message(1, schema(value["items"]))))
    if "properties" in value:
        properties = b"".join(_named(1, name, schema(each)) for name, each in value["properties"].items())
        parts.append(_message(25, properties))
    parts.append(_extensions(31, value))
    return b"".join(parts)
