"""One warning about a Dockerfile, as a value; the rules make them (rules_*.py), checks.py chooses."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from knarr.builder.dockerfile.faults import Place
from knarr.builder.dockerfile.parser import Dockerfile

_DOCUMENTATION = "https://docs.docker.com/go/dockerfile/rule"
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z][a-z]*")


@dataclass(frozen=True, slots=True)
class Finding:
    """Which rule, where, and what to do."""

    rule: str
    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place.file}:{self.place.line}: {self.rule}: {self.text}"

    @property
    def url(self) -> str:
        """Where the rule is explained."""
        return f"{_DOCUMENTATION}/{'-'.join(word.lower() for word in _WORD.findall(self.rule))}/"


def undefined_variable(place: Place, name: str, near: str) -> Finding:
    """UndefinedVar, with the nearest name that is set ("" for none)."""
    hint = f" (did you mean ${near}?)" if near else ""
    return Finding("UndefinedVar", place, f"usage of undefined variable '${name}'{hint}")


@dataclass(frozen=True, slots=True)
class Subject:
    """What rules look at. `is_ignored` tells what .dockerignore keeps out; None where there is no such file."""

    dockerfile: Dockerfile
    is_ignored: Callable[[str], bool] | None = None
