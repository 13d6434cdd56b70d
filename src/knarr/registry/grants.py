"""What a caller of the registry may do: actions by resource, as scopes of the distribution project's tokens say it.

A *scope* is `repository:NAME:pull,push` or `registry:catalog:*`. Pure; who the caller is, registry/access.py finds out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ACTIONS = frozenset({"pull", "push", "delete", "*"})
SCOPES_MAX = 64


@dataclass(frozen=True, slots=True)
class Scope:
    """`kind` is `repository` or `registry`; an empty `name` asks for nothing but being somebody."""

    kind: str
    name: str
    actions: frozenset[str]

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}:{','.join(sorted(self.actions))}"


ANYBODY = Scope("", "", frozenset())


@dataclass(frozen=True, slots=True)
class Grants:
    """Actions by (kind, name). `everything` is the owner's: a registry without users."""

    by_resource: Mapping[tuple[str, str], frozenset[str]]
    everything: bool = False

    def allow(self, scope: Scope) -> bool:
        return self.everything or scope.actions <= self.by_resource.get((scope.kind, scope.name), frozenset())


EVERYTHING = Grants({}, everything=True)


def scopes(fields: Iterable[str]) -> list[Scope]:
    """The scopes that a token is asked for, one or several (parted by blanks) in a field; what is none is left out."""
    found = []
    for text in [word for field in fields for word in field.split()][:SCOPES_MAX]:
        kind, _, rest = text.partition(":")
        name, _, actions = rest.rpartition(":")
        wanted = frozenset(actions.split(",")) & ACTIONS
        if kind in ("repository", "registry") and name and wanted:
            found.append(Scope(kind, name, wanted))
    return found


def granted(wanted: Iterable[Scope], allowed: frozenset[str]) -> Grants:
    """Of what is wanted, the actions that are allowed on every resource."""
    found: dict[tuple[str, str], frozenset[str]] = {}
    for scope in wanted:
        key = (scope.kind, scope.name)
        found[key] = found.get(key, frozenset()) | (scope.actions & allowed)
    return Grants(found)
