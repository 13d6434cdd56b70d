"""Operations: the paths of a group and version, in the form that both dialects are written from. Pure.

An `Operation` says method, action, parameters and types; v2.py and v3.py write it in their dialect. kubectl looks here
for what PATCH understands (dryRun, fieldValidation, media types), and for the kind behind a path.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from knarr.kinds.registry import Kind, Subresource

PATCH_TYPES: Final = (
    "application/apply-patch+cbor", "application/apply-patch+yaml", "application/json-patch+json",
    "application/merge-patch+json", "application/strategic-merge-patch+json",
)  # fmt: skip
META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."

# Query parameter → type.
WRITING: Final[Mapping[str, str]] = {"dryRun": "string", "fieldManager": "string", "fieldValidation": "string"}
FORCING: Final[Mapping[str, str]] = {**WRITING, "force": "boolean"}
LISTING: Final[Mapping[str, str]] = {
    "allowWatchBookmarks": "boolean", "continue": "string", "fieldSelector": "string", "labelSelector": "string",
    "limit": "integer", "resourceVersion": "string", "resourceVersionMatch": "string", "sendInitialEvents": "boolean",
    "timeoutSeconds": "integer", "watch": "boolean",
}  # fmt: skip
DELETING: Final[Mapping[str, str]] = {
    "dryRun": "string", "gracePeriodSeconds": "integer", "orphanDependents": "boolean", "propagationPolicy": "string",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of a path. `action` is x-kubernetes-action; `body` and `answer` are type names, "" for none."""

    method: str
    action: str
    kind: tuple[str, str, str]
    parameters: Mapping[str, str]
    body: str
    answer: str
    name: str


@dataclass(frozen=True, slots=True)
class Path:
    path: str
    parameters: tuple[str, ...]
    operations: tuple[Operation, ...]


# Verb of the facts → method, action, query parameters; `{}` is one object, `[]` its collection.
_Row = tuple[str, str, str, Mapping[str, str]]
NAMED: Final[tuple[_Row, ...]] = (
    ("get", "get", "get", {}),
    ("update", "put", "put", WRITING),
    ("patch", "patch", "patch", FORCING),
    ("delete", "delete", "delete", DELETING),
)
COLLECTION: Final[tuple[_Row, ...]] = (
    ("list", "get", "list", LISTING),
    ("create", "post", "post", WRITING),
    ("deletecollection", "delete", "deletecollection", {**LISTING, **DELETING}),
)


def base(kind: Kind) -> str:
    return f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"


def paths(kind: Kind) -> Iterator[Path]:
    """Every path of one kind, its subresources included."""
    names = ("namespace",) if kind.is_namespaced else ()
    collection = f"{base(kind)}/namespaces/{{namespace}}/{kind.plural}" if names else f"{base(kind)}/{kind.plural}"
    found = tuple(_operation(kind, row, "") for row in COLLECTION if row[0] in kind.verbs)
    if found:
        yield Path(collection, names, found)
    if names and "list" in kind.verbs:
        yield Path(f"{base(kind)}/{kind.plural}", (), (_operation(kind, COLLECTION[0], "ForAllNamespaces"),))
    single = f"{collection}/{{name}}"
    found = tuple(_operation(kind, row, "") for row in NAMED if row[0] in kind.verbs)
    if found:
        yield Path(single, ("name", *names), found)
    for name, subresource in sorted(kind.subresources.items()):
        yield Path(f"{single}/{name}", ("name", *names), tuple(_subresource(kind, name, subresource)))


def _operation(kind: Kind, row: _Row, suffix: str) -> Operation:
    verb, method, action, parameters = row
    answer = {"list": kind.facts.get("listType") or f"{kind.type_name}List", "delete": f"{META}Status"}.get(
        verb, f"{META}Status" if verb == "deletecollection" else kind.type_name
    )
    scope = "Namespaced" if kind.is_namespaced and not suffix else ""
    group = "".join(part.capitalize() for part in kind.group.removesuffix(".k8s.io").split(".")) or "Core"
    name = f"{action}{group}{kind.version.capitalize()}{scope}{kind.kind}{suffix}"
    own = (kind.group, kind.version, kind.kind)
    return Operation(method, action, own, parameters, _body(verb, kind.type_name), answer, name)


def _body(verb: str, type_name: str) -> str:
    match verb:
        case "create" | "update":
            return type_name
        case "patch":
            return f"{META}Patch"
        case "delete" | "deletecollection":
            return f"{META}DeleteOptions"
        case _:
            return ""


def _subresource(kind: Kind, name: str, subresource: Subresource) -> Iterator[Operation]:
    body = subresource.kind or (kind.group, kind.version, kind.kind)
    connects = bool(subresource.facts.get("connect"))
    type_name = type_of(body, kind)
    for verb, method, action, parameters in (*NAMED, COLLECTION[1]):
        if verb not in subresource.verbs:
            continue
        given = {} if connects else parameters
        shown = "connect" if connects else action
        content = "" if connects else _body(verb, type_name)
        named = f"{shown}{kind.version.capitalize()}{kind.kind}{name.capitalize()}{method if connects else ''}"
        yield Operation(method, shown, body, given, content, "" if connects else type_name, named)


def type_of(kind: tuple[str, str, str], parent: Kind) -> str:
    """The type of a subresource's kind; the parent's for its own kind."""
    group, version, name = kind
    if kind == (parent.group, parent.version, parent.kind):
        return parent.type_name
    return f"io.k8s.api.{(group or 'core').split('.')[0]}.{version}.{name}"
