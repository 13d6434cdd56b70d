"""Schemas of the built-in kinds: the facts tables as `objects.schema.Types`, decoded type by type. Pure.

A type's row stays bytes until somebody asks for it: the whole table decoded would be several megabytes.
"""

import functools
from collections.abc import Mapping
from importlib import resources
from typing import Any

import msgspec

from knarr.kinds import registry
from knarr.kinds.registry import Kind
from knarr.objects.schema import Schema, Types


class _Table(msgspec.Struct):
    enums: dict[str, Any]
    types: dict[str, msgspec.Raw]


@functools.cache
def types() -> Types:
    """All named types of the built-in API."""
    table = msgspec.json.decode(resources.files("knarr.kinds").joinpath("facts/types.json").read_bytes(), type=_Table)
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for row in registry.facts("defaults")["defaults"]:
        rows.setdefault(row["type"], []).append(row)

    def load(name: str) -> Mapping[str, Any] | None:
        raw = table.types.get(name)
        return None if raw is None else msgspec.json.decode(raw)

    return Types(load, table.enums, lambda name: rows.get(name, []))


def of(kind: Kind) -> Schema:
    """The schema of a kind's objects."""
    return root(kind.type_name)  # kept by the name: a string knows its hash, a Kind computes it at every look-up


@functools.cache
def root(type_name: str) -> Schema:
    """The schema of any named type (a Scale, an Eviction)."""
    return types().root(type_name)
