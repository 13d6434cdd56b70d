"""Descriptions: upstream's sentences about types and fields, read from the installed lightkube-models at run time.

Its modules are parsed, never imported (they need the whole of lightkube). Without the package there are no sentences.
"""

import ast
import functools
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_FIELD = re.compile(r"^\s*\* \*\*(?P<name>[^*]+)\*\* ``[^`]*``(?: - (?P<text>.*))?$", re.ASCII)
# Prefix of a type's OpenAPI name → module; `{group}_{version}` for the rest.
MODULES: Final = (
    ("io.k8s.apimachinery.pkg.apis.meta.v1.", "meta_v1"),
    ("io.k8s.apimachinery.pkg.api.resource.", "resource"),
    ("io.k8s.apimachinery.pkg.runtime.", "runtime"),
    ("io.k8s.apimachinery.pkg.util.intstr.", "util_intstr"),
    ("io.k8s.apimachinery.pkg.version.", "version"),
    ("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.", "apiextensions_v1"),
    ("io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.", "apiregistration_v1"),
)


@dataclass(frozen=True, slots=True)
class Description:
    """What a type is, and each of its fields."""

    text: str
    fields: Mapping[str, str]


EMPTY: Final = Description("", {})


def of(type_name: str) -> Description:
    """The description of a type; EMPTY if there is none."""
    return _module(_module_name(type_name)).get(type_name.rpartition(".")[2], EMPTY)


def _module_name(type_name: str) -> str:
    for prefix, module in MODULES:
        if type_name.startswith(prefix):
            return module
    parts = type_name.split(".")
    return f"{parts[-3]}_{parts[-2]}"


@functools.lru_cache(maxsize=8)
def _module(name: str) -> dict[str, Description]:
    """The descriptions of one module's classes; few modules are kept, as documents are built one after another."""
    folder = _folder()
    path = folder / f"{name}.py" if folder else None
    if path is None or not path.is_file():
        return {}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef))
    return {node.name: _parsed(ast.get_docstring(node) or "") for node in classes}


@functools.cache
def _folder() -> Path | None:
    found = importlib.util.find_spec("lightkube")
    if found is None or not found.submodule_search_locations:
        return None
    return Path(next(iter(found.submodule_search_locations))) / "models"


def _parsed(docstring: str) -> Description:
    head, _, parameters = docstring.partition("**parameters**")
    fields: dict[str, list[str]] = {}
    current: list[str] = []
    for line in parameters.splitlines():
        found = _FIELD.match(line)
        if found:
            current = fields.setdefault(found["name"], [])
            current.append(found["text"] or "")
        elif line.strip():
            current.append(line.strip())
    return Description(_joined(head.splitlines()), {name: " ".join(lines).strip() for name, lines in fields.items()})


def _joined(lines: list[str]) -> str:
    paragraphs = "\n".join(line.strip() for line in lines).strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
