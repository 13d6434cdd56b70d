"""Documents: OpenAPI v3 of one group and version, and v2 of the whole API, as JSON values.

Both are made of definitions.py and operations.py; nothing here is specific to a kind.
"""

from collections.abc import Iterable
from typing import Any, Final

from knarr.apiserver.openapi import definitions, operations
from knarr.apiserver.openapi.definitions import Dialect
from knarr.apiserver.openapi.operations import Operation, Path
from knarr.kinds import schemas
from knarr.kinds.registry import Kind

Json = dict[str, Any]
INFO: Final = {"title": "Kubernetes", "version": "v1.37.0"}
ALWAYS: Final = tuple(
    operations.META + name for name in ("DeleteOptions", "Status", "APIResourceList", "WatchEvent", "Patch")
)
ANSWERS: Final = ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf")
KIND: Final = "x-kubernetes-group-version-kind"


def v3(kinds: list[Kind]) -> Json:
    """The document of kinds of one group and version."""
    paths = [path for kind in kinds for path in operations.paths(kind)]
    return {
        "openapi": "3.0.0",
        "info": INFO,
        "paths": {path.path: _path_v3(path) for path in paths},
        "components": {
            "schemas": _definitions(kinds, paths, "v3"),
            "securitySchemes": {
                "BearerToken": {"type": "apiKey", "name": "authorization", "in": "header"},
            },
        },
    }


def v2(kinds: list[Kind]) -> Json:
    """The document of the whole API."""
    paths = [path for kind in kinds for path in operations.paths(kind)]
    return {
        "swagger": "2.0",
        "info": INFO,
        "paths": {path.path: _path_v2(path) for path in paths},
        "definitions": _definitions(kinds, paths, "v2"),
        "securityDefinitions": {"BearerToken": {"type": "apiKey", "name": "authorization", "in": "header"}},
        "security": [{"BearerToken": []}],
    }


def _definitions(kinds: Iterable[Kind], paths: Iterable[Path], dialect: Dialect) -> Json:
    types = schemas.types()
    queue = [name for path in paths for each in path.operations for name in (each.body, each.answer) if name]
    queue += [*ALWAYS, *(kind.type_name for kind in kinds)]
    owners = _owners(kinds)
    made: Json = {}
    while queue:
        name = queue.pop()
        if name in made or types.facts(name) is None:
            continue
        made[name] = definitions.definition(name, dialect, owners.get(name) or _listed(types.facts(name)))
        queue += definitions.references(name)
    return dict(sorted(made.items()))


def _owners(kinds: Iterable[Kind]) -> dict[str, list[Json]]:
    return {k.type_name: [{"group": k.group, "kind": k.kind, "version": k.version}] for k in kinds}


def _listed(facts: Any) -> list[Json]:
    return [{"group": group, "kind": kind, "version": version} for group, version, kind in facts.get("kinds", ())]


def _kind(operation: Operation) -> Json:
    group, version, kind = operation.kind
    return {"group": group, "kind": kind, "version": version}


def _path_v3(path: Path) -> Json:
    made: Json = {each.method: _operation_v3(each) for each in path.operations}
    made["parameters"] = [
        *({"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in path.parameters),
        {"name": "pretty", "in": "query", "schema": {"type": "string"}},
    ]
    return made


def _operation_v3(operation: Operation) -> Json:
    made: Json = {
        "operationId": operation.name,
        "parameters": [
            {"name": name, "in": "query", "schema": {"type": kind}} for name, kind in operation.parameters.items()
        ],
        "responses": {"200": {"description": "OK", **_content(ANSWERS, operation.answer)}},
        "x-kubernetes-action": operation.action,
        KIND: _kind(operation),
    }
    if operation.body:
        media = operations.PATCH_TYPES if operation.method == "patch" else ("*/*",)
        made["requestBody"] = _content(media, operation.body)
    return made


def _content(media: Iterable[str], type_name: str) -> Json:
    if not type_name:
        return {"content": {"*/*": {"schema": {"type": "string"}}}}
    schema = {"$ref": definitions.PREFIX["v3"] + type_name}
    return {"content": {each: {"schema": schema} for each in media}}


def _path_v2(path: Path) -> Json:
    made: Json = {each.method: _operation_v2(each) for each in path.operations}
    made["parameters"] = [
        *({"name": name, "in": "path", "required": True, "type": "string"} for name in path.parameters),
        {"name": "pretty", "in": "query", "type": "string"},
    ]
    return made


def _operation_v2(operation: Operation) -> Json:
    parameters: list[Json] = []
    if operation.body:
        schema = {"$ref": definitions.PREFIX["v2"] + operation.body}
        parameters.append({"name": "body", "in": "body", "required": operation.method != "delete", "schema": schema})
    parameters += [{"name": name, "in": "query", "type": kind} for name, kind in operation.parameters.items()]
    answer = {"$ref": definitions.PREFIX["v2"] + operation.answer} if operation.answer else {"type": "string"}
    return {
        "operationId": operation.name,
        "consumes": list(operations.PATCH_TYPES if operation.method == "patch" else ("*/*",)),
        "produces": list(ANSWERS),
        "parameters": parameters,
        "responses": {"200": {"description": "OK", "schema": answer}},
        "x-kubernetes-action": operation.action,
        KIND: _kind(operation),
    }
