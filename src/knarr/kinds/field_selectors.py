"""Field selectors: which fields of a kind a list may be filtered by, and whether an object passes. Pure.

Only `=`, `==` and `!=` exist; the fields of each kind are a facts table (kinds/facts/field_selectors.json).
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from knarr.base.errors import Invalid
from knarr.kinds import registry
from knarr.kinds.registry import Kind

EVERYWHERE: Final = ("metadata.name", "metadata.namespace")


@dataclass(frozen=True, slots=True)
class Requirement:
    """`value` must (or with `is_negated` must not) be the field's text."""

    read: Callable[[Any], str]
    value: str
    is_negated: bool


@dataclass(frozen=True, slots=True)
class FieldSelector:
    requirements: tuple[Requirement, ...]

    def matches(self, obj: Any) -> bool:
        return all((part.read(obj) == part.value) != part.is_negated for part in self.requirements)


@functools.lru_cache(512)
def parse(kind: Kind, text: str) -> FieldSelector:
    """The selector of a query's text. Raises Invalid in upstream's words."""
    row = _row(kind)
    fields: tuple[str, ...] = tuple(row.get("fields", EVERYWHERE))
    aliases: Mapping[str, str] = row.get("aliases", {})
    found: list[Requirement] = []
    for term in _terms(text):
        path, value, is_negated = _split(term, text)
        path = aliases.get(path, path)
        if path not in fields:
            raise Invalid(f"field label not supported: {path}" if row.get("explicit") else _unsupported(path))
        found.append(Requirement(_reader(path, row.get("form", {}).get(path, "")), value, is_negated))
    return FieldSelector(tuple(found))


def _unsupported(path: str) -> str:
    return f'"{path}" is not a known field selector: only "metadata.name", "metadata.namespace"'


@functools.cache
def _rows() -> dict[tuple[str, str, str], Mapping[str, Any]]:
    rows = registry.facts("field_selectors")["kinds"]
    return {(row["group"], row["version"], row["kind"]): row for row in rows}


def _row(kind: Kind) -> Mapping[str, Any]:
    return _rows().get((kind.group, kind.version, kind.kind), {})


def _terms(text: str) -> list[str]:
    """The terms between commas; a backslash takes the next character as it is."""
    terms, term, is_escaped = [], "", False
    for character in text:
        if character == "," and not is_escaped:
            terms.append(term)
            term = ""
            continue
        term += character
        is_escaped = character == "\\" and not is_escaped
    return [term for term in (*terms, term) if term]


def _split(term: str, text: str) -> tuple[str, str, bool]:
    for at, character in enumerate(term):
        for operator in ("!=", "==", "="):
            if term.startswith(operator, at):
                return term[:at].strip(), _unescaped(term[at + len(operator) :], text), character == "!"
    raise Invalid(f"invalid selector: '{text}'; can't understand '{term}'")


def _unescaped(value: str, text: str) -> str:
    result, is_escaped = "", False
    for character in value:
        if is_escaped:
            if character not in "\\,=":
                raise Invalid(f"invalid field selector '{text}': invalid escape sequence \\{character}")
            result += character
            is_escaped = False
        elif character == "\\":
            is_escaped = True
        else:
            result += character
    if is_escaped:
        raise Invalid(f"invalid field selector '{text}': it ends in an escape")
    return result.strip() if result == value else result


def _reader(path: str, form: str) -> Callable[[Any], str]:
    if path == "source":
        return lambda obj: (obj.get("source") or {}).get("component") or obj.get("reportingComponent") or ""
    parts = path.split(".")
    if "joined with commas" in form:
        return lambda obj: ",".join(entry.get("ip", "") for entry in _at(obj, parts) or ())

    def read(obj: Any) -> str:
        value = _at(obj, parts)
        if form == "true or false":
            return "true" if value else "false"
        if form == "decimal":
            return str(value or 0)
        return "" if value is None else str(value)

    return read


def _at(obj: Any, parts: list[str]) -> Any:
    for part in parts:
        obj = obj.get(part) if isinstance(obj, dict) else None
    return obj
