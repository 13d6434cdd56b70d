"""Gnostic: the OpenAPI v2 document as the protobuf message that kubectl up to 1.28 asks for.

Only the messages and fields that documents.py makes. Spec: openapi.v2 Document of gnostic (field numbers below).
"""

from collections.abc import Mapping
from typing import Any, Final

from knarr.apiserver.openapi.encoding import anything, extensions, flag, message, named, text, texts

Json = Mapping[str, Any]
METHODS: Final = {"get": 2, "put": 3, "post": 4, "delete": 5, "patch": 8}


def document(value: Json) -> bytes:
    """The encoded Document of a v2 document."""
    info = text(1, value["info"]["title"]) + text(2, value["info"]["version"])
    paths = b"".join(named(2, name, _path(path)) for name, path in value["paths"].items())
    definitions = b"".join(named(1, name, schema(each)) for name, each in value["definitions"].items())
    return text(1, value["swagger"]) + message(2, info) + message(8, paths) + message(9, definitions)


def _path(path: Json) -> bytes:
    made = b"".join(message(METHODS[method], _operation(each)) for method, each in path.items() if method in METHODS)
    return made + b"".join(message(9, _parameter(each)) for each in path["parameters"])


def _operation(operation: Json) -> bytes:
    return b"".join(
        (
            text(5, operation["operationId"]),
            texts(6, operation["produces"]),
            texts(7, operation["consumes"]),
            *(message(8, _parameter(each)) for each in operation["parameters"]),
            message(9, b"".join(named(1, code, _response(each)) for code, each in operation["responses"].items())),
            extensions(13, operation),
        )
    )


def _response(response: Json) -> bytes:
    content = text(1, response["description"]) + message(2, message(1, schema(response["schema"])))
    return message(1, content)


def _parameter(parameter: Json) -> bytes:
    """A ParametersItem: a body parameter, or a query or path parameter."""
    if parameter["in"] == "body":
        body = b"".join(
            (
                text(2, "body"),
                text(3, "body"),
                flag(4, parameter.get("required", False)),
                message(5, schema(parameter["schema"])),
            )
        )
        return message(1, message(1, body))
    is_query = parameter["in"] == "query"
    content = b"".join(
        (
            flag(1, parameter.get("required", False)),
            text(2, parameter["in"]),
            text(4, parameter["name"]),
            text(6 if is_query else 5, parameter["type"]),
        )
    )
    return message(1, message(2, message(3 if is_query else 4, content)))


def schema(value: Json) -> bytes:
    """An encoded Schema."""
    parts = [
        text(1, value.get("$ref", "")),
        text(2, value.get("format", "")),
        text(4, value.get("description", "")),
    ]
    if "default" in value:
        parts.append(message(5, anything(value["default"])))
    parts.append(texts(19, value.get("required", ())))
    parts += [message(20, anything(each)) for each in value.get("enum", ())]
    if "additionalProperties" in value:
        parts.append(message(21, message(1, schema(value["additionalProperties"]))))
    if "type" in value:
        parts.append(message(22, text(1, value["type"])))
    if "items" in value:
        parts.append(message(23, message(1, schema(value["items"]))))
    if "properties" in value:
        properties = b"".join(named(1, name, schema(each)) for name, each in value["properties"].items())
        parts.append(message(25, properties))
    parts.append(extensions(31, value))
    return b"".join(parts)
