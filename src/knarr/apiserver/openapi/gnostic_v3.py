"""Gnostic: an OpenAPI v3 document as the protobuf message that clients may ask for instead of JSON.

Only the messages and fields that documents.py makes; a default that is an object has no place in the message, as
upstream. Spec: openapi.v3 Document of gnostic (field numbers below).
"""

from collections.abc import Mapping
from typing import Any, Final

from knarr.apiserver.openapi.encoding import anything, extensions, flag, message, named, text, texts

Json = Mapping[str, Any]
METHODS: Final = {"get": 4, "put": 5, "post": 6, "delete": 7, "patch": 10}


def document(value: Json) -> bytes:
    """The encoded Document of a v3 document."""
    info = text(1, value["info"]["title"]) + text(6, value["info"]["version"])
    paths = b"".join(named(1, name, _path(path)) for name, path in value["paths"].items())
    parts = value["components"]
    schemas = b"".join(named(1, name, _place(each)) for name, each in parts["schemas"].items())
    security = b"".join(named(1, name, message(1, _security(each))) for name, each in parts["securitySchemes"].items())
    components = message(1, schemas) + message(7, security)
    return text(1, value["openapi"]) + message(2, info) + message(4, paths) + message(5, components)


def _security(scheme: Json) -> bytes:
    return text(1, scheme["type"]) + text(3, scheme["name"]) + text(4, scheme["in"])


def _path(path: Json) -> bytes:
    made = b"".join(message(METHODS[method], _operation(each)) for method, each in path.items() if method in METHODS)
    return made + b"".join(message(13, message(1, _parameter(each))) for each in path["parameters"])


def _operation(operation: Json) -> bytes:
    responses = b"".join(named(2, code, message(1, _response(each))) for code, each in operation["responses"].items())
    body = operation.get("requestBody")
    return b"".join(
        (
            text(5, operation["operationId"]),
            *(message(6, message(1, _parameter(each))) for each in operation["parameters"]),
            message(7, message(1, message(2, _content(body["content"])))) if body else b"",
            message(8, responses),
            extensions(13, operation),
        )
    )


def _parameter(parameter: Json) -> bytes:
    return b"".join(
        (
            text(1, parameter["name"]),
            text(2, parameter["in"]),
            flag(4, parameter.get("required", False)),
            message(10, _place(parameter["schema"])),
        )
    )


def _response(response: Json) -> bytes:
    return text(1, response["description"]) + message(3, _content(response["content"]))


def _content(content: Json) -> bytes:
    return b"".join(named(1, media, message(1, _place(each["schema"]))) for media, each in content.items())


def _place(value: Json) -> bytes:
    """A SchemaOrReference."""
    return message(2, text(1, value["$ref"])) if "$ref" in value else message(1, schema(value))


def schema(value: Json) -> bytes:
    """An encoded Schema."""
    parts = [texts(23, value.get("required", ()))]
    parts += [message(24, anything(each)) for each in value.get("enum", ())]
    parts.append(text(25, value.get("type", "")))
    parts += [message(26, _place(each)) for each in value.get("allOf", ())]
    parts += [message(27, _place(each)) for each in value.get("oneOf", ())]
    if "items" in value:
        parts.append(message(30, message(1, _place(value["items"]))))
    if "properties" in value:
        parts.append(message(31, b"".join(named(1, name, _place(each)) for name, each in value["properties"].items())))
    if "additionalProperties" in value:
        parts.append(message(32, message(1, _place(value["additionalProperties"]))))
    parts += [text(34, value.get("description", "")), text(35, value.get("format", "")), extensions(36, value)]
    return b"".join(parts)
