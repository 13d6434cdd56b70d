"""Kinds as rows: what the API serves, read from the facts table and completed by the rows of this package.

A `Kind` is one served group, version and kind. Routes, discovery, OpenAPI, defaulting, table columns and controllers
read it; nothing else in the program asks `if kind ==`. The rows themselves are in core_pod.py, apps.py, …
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Final

import msgspec


@dataclass(frozen=True, slots=True)
class Subresource:
    """One subresource: the body's kind if it differs from the parent's, its verbs, and the facts row."""

    name: str
    verbs: tuple[str, ...]
    kind: tuple[str, str, str] | None
    facts: Mapping[str, Any] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Kind:
    """One served kind. `type_name` keys kinds/facts/types.json; `lens` is the msgspec.Struct that readers decode."""

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    is_namespaced: bool
    verbs: tuple[str, ...]
    subresources: Mapping[str, Subresource] = field(repr=False, compare=False)
    type_name: str
    served_by_default: bool
    storage_prefix: str
    lens: type[msgspec.Struct] | None = field(repr=False, compare=False)
    facts: Mapping[str, Any] = field(repr=False, compare=False)
    api_version: str = field(init=False, repr=False, compare=False)
    """`v1` or `apps/v1`, as objects carry it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "api_version", f"{self.group}/{self.version}" if self.group else self.version)

    def __hash__(self) -> int:
        return hash((self.group, self.version, self.kind))

    def __eq__(self, other: object) -> bool:
        """Written by hand: it is asked with every event of every watch, mostly of rows that differ by their name."""
        if self is other:
            return True
        if not isinstance(other, Kind):
            return NotImplemented
        return self.kind == other.kind and self.group == other.group and self.version == other.version


LATER_GROUPS: Final = frozenset({"apiextensions.k8s.io", "admissionregistration.k8s.io", "apiregistration.k8s.io"})
"""What they promise (custom resources, webhooks and policies that decide, aggregated APIs) is not there yet. A policy
that is taken and decides nothing would be worse than none, so they are not served."""


@functools.cache
def facts(name: str) -> Any:
    """A facts table (`kinds`, `types`, `defaults`, `field_selectors`), decoded once."""
    return msgspec.json.decode(resources.files("knarr.kinds").joinpath(f"facts/{name}.json").read_bytes())


def row(group: str, version: str, kind: str, lens: type[msgspec.Struct] | None = None) -> Kind:
    """The facts row of one kind as a Kind; LookupError if the table has none."""
    for entry in facts("kinds")["kinds"]:
        if (entry["group"], entry["version"], entry["kind"]) == (group, version, kind):
            return _kind(entry, lens)
    raise LookupError(f"{group}/{version} {kind} is not in kinds/facts/kinds.json")


@functools.cache
def builtin() -> tuple[Kind, ...]:
    """Every kind that is served without being asked for, in the table's order; without lenses."""
    return tuple(_kind(entry, None) for entry in facts("kinds")["kinds"] if is_served(entry))


def is_served(entry: Mapping[str, Any]) -> bool:
    """Whether the kind of this row of the facts answers; 404 if not."""
    return bool(entry["servedByDefault"]) and entry["group"] not in LATER_GROUPS


def _kind(entry: Mapping[str, Any], lens: type[msgspec.Struct] | None) -> Kind:
    return Kind(
        group=entry["group"],
        version=entry["version"],
        kind=entry["kind"],
        plural=entry["plural"],
        singular=entry["singular"],
        short_names=tuple(entry.get("shortNames", ())),
        categories=tuple(entry.get("categories", ())),
        is_namespaced=entry["namespaced"],
        verbs=tuple(entry["verbs"]),
        subresources={name: _subresource(name, facts) for name, facts in entry.get("subresources", {}).items()},
        type_name=entry["type"],
        served_by_default=entry["servedByDefault"],
        storage_prefix=entry.get("storage", {}).get("prefix", entry["plural"]),
        lens=lens,
        facts=entry,
    )


def _subresource(name: str, entry: Mapping[str, Any]) -> Subresource:
    body = entry.get("kind")
    return Subresource(name, tuple(entry["verbs"]), tuple(body) if body else None, entry)
