"""Conversions: kinds that are served in another version than the stored one. Rows of two pure functions.

Without a row only apiVersion and kind change: the two versions share their fields.
"""

from collections.abc import Callable
from typing import Final

from knarr.apiserver.resources import Json, Resource

# (group, version, kind) of the served form → (from stored, to stored).
ROWS: Final[dict[tuple[str, str, str], tuple[Callable[[Json], Json], Callable[[Json], Json]]]] = {}


def served(resource: Resource, obj: Json) -> Json:
    """The object in the version of the resource."""
    if not resource.is_converted:
        return obj
    kind = resource.kind
    row = ROWS.get((kind.group, kind.version, kind.kind))
    converted = row[0](obj) if row else obj
    return {**converted, "apiVersion": kind.api_version, "kind": kind.kind}


def stored(resource: Resource, obj: Json) -> Json:
    """The object in the version of the store."""
    if not resource.is_converted:
        return obj
    kind = resource.kind
    row = ROWS.get((kind.group, kind.version, kind.kind))
    converted = row[1](obj) if row else obj
    return {**converted, "apiVersion": resource.stored.api_version, "kind": resource.stored.kind}
