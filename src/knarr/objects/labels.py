"""Label selectors: the string form of queries and the LabelSelector of objects, one set of requirements. Pure.

`Selector.matches(labels)` is the only question. Spec: "Labels and Selectors"; parse errors are in upstream's words.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from knarr.base.errors import Invalid
from knarr.objects import names

Operator = Literal["in", "notin", "exists", "!", ">", "<"]
LENGTH_MAX: Final = 16 * 1024
_TOKEN = re.compile(r"\s*(?:(!=|==|[=!(),<>])|([^\s=!(),<>]+))", re.ASCII)
_OPERATORS: Final[Mapping[str, Operator]] = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


@dataclass(frozen=True, slots=True)
class Requirement:
    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "in":
                return value is not None and value in self.values
            case "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case _:
                return value is not None and self._compares(value)

    def _compares(self, value: str) -> bool:
        (limit,) = self.values
        if not _is_integer(value):
            return False
        return int(value) > int(limit) if self.operator == ">" else int(value) < int(limit)


@dataclass(frozen=True, slots=True)
class Selector:
    """All requirements hold; with none everything is chosen, unless `is_nothing`."""

    requirements: tuple[Requirement, ...] = ()
    is_nothing: bool = False

    @property
    def is_everything(self) -> bool:
        return not self.requirements and not self.is_nothing

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        if self.is_nothing:
            return False
        given = labels or {}
        return all(requirement.matches(given) for requirement in self.requirements)


EVERYTHING: Final = Selector()
NOTHING: Final = Selector(is_nothing=True)


def of(selector: Mapping[str, Any] | None) -> Selector:
    """The Selector of a LabelSelector's JSON: null chooses nothing, {} everything. Raises Invalid."""
    if selector is None:
        return NOTHING
    found = [Requirement(key, "in", frozenset((value,))) for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        operator = _OPERATORS.get(expression.get("operator", ""))
        if operator is None:
            raise Invalid(f'"{expression.get("operator")}" is not a valid label selector operator')
        found.append(Requirement(expression.get("key", ""), operator, frozenset(expression.get("values") or ())))
    return Selector(tuple(found))


def equal(labels: Mapping[str, str] | None) -> Selector:
    """The Selector of a plain map (Service, ReplicationController); an empty one chooses nothing."""
    if not labels:
        return NOTHING
    return Selector(tuple(Requirement(key, "in", frozenset((value,))) for key, value in labels.items()))


@functools.lru_cache(512)
def parse(text: str) -> Selector:
    """The Selector of a query's text. Raises Invalid."""
    if len(text) > LENGTH_MAX:
        raise Invalid(f"unable to parse requirement: the selector is longer than {LENGTH_MAX} characters")
    return Selector(tuple(_Parser(_tokens(text)).requirements()))


def _tokens(text: str) -> list[tuple[str, bool]]:
    """(token, is an operator or delimiter)."""
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match is not None
        found.append((match[1] or match[2], match[1] is not None))
        at = match.end()
    return found


class _Parser:
    """Upstream's recursive descent over the tokens."""

    def __init__(self, tokens: Sequence[tuple[str, bool]]) -> None:
        self.tokens = tokens
        self.at = 0

    def peek(self) -> tuple[str, bool]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("", True)

    def take(self) -> tuple[str, bool]:
        token = self.peek()
        self.at += 1
        return token

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        while self.at < len(self.tokens):
            found.append(self.requirement())
            token, _ = self.take()
            if token == "":
                return found
            if token != ",":  # noqa: S105  # a token of the grammar
                raise Invalid(f"unable to parse requirement: found '{token}', expected: ',' or 'end of string'")
            if self.peek()[0] == "" and self.at >= len(self.tokens):
                raise Invalid("unable to parse requirement: found '', expected: identifier after ','")
        return found

    def requirement(self) -> Requirement:
        is_absent = self.peek() == ("!", True)
        if is_absent:
            self.take()
        key, is_symbol = self.take()
        if is_symbol:
            raise Invalid(f"unable to parse requirement: found '{key}', expected: !, identifier, or 'end of string'")
        faults = names.qualified(key)
        if faults:
            raise Invalid(f'unable to parse requirement: <nil>: Invalid value: "{key}": {"; ".join(faults)}')
        if is_absent:
            return Requirement(key, "!")
        token, is_symbol = self.peek()
        if token in ("", ","):
            return Requirement(key, "exists")
        self.take()
        return self.compared(key, token, is_symbol)

    def compared(self, key: str, operator: str, is_symbol: bool) -> Requirement:
        if operator in ("=", "==") and is_symbol:
            return Requirement(key, "in", frozenset((self.exact(),)))
        if operator == "!=":
            return Requirement(key, "notin", frozenset((self.exact(),)))
        if operator in (">", "<"):
            value = self.exact()
            if not _is_integer(value):
                raise Invalid(
                    f'unable to parse requirement: values[0][{key}]: Invalid value: "{value}":'
                    " for 'Gt', 'Lt' operators, the value must be an integer"
                )
            return Requirement(key, ">" if operator == ">" else "<", frozenset((value,)))
        if operator in ("in", "notin"):
            return Requirement(key, "in" if operator == "in" else "notin", self.values(key))
        raise Invalid(f"unable to parse requirement: found '{operator}', expected: in, notin, =, ==, !=, gt, lt")

    def exact(self) -> str:
        token, is_symbol = self.peek()
        if token in ("", ","):
            return ""
        self.take()
        if is_symbol:
            raise Invalid(f"unable to parse requirement: found '{token}', expected: identifier")
        return _checked(token)

    def values(self, key: str) -> frozenset[str]:
        token, _ = self.take()
        if token != "(":  # noqa: S105  # a token of the grammar
            raise Invalid(f"unable to parse requirement: found '{token}' expected: '('")
        found: list[str] = []
        is_expected = True
        while True:
            token, is_symbol = self.take()
            if not is_symbol:
                if not is_expected:
                    raise Invalid(f"unable to parse requirement: found '{token}', expected: ',' or ')'")
                found.append(_checked(token))
                is_expected = False
            elif token in (",", ")"):
                if is_expected:
                    found.append("")
                if token == ")":  # noqa: S105  # a token of the grammar
                    return frozenset(found)
                is_expected = True
            else:
                raise Invalid(f"unable to parse requirement: found '{token}', expected: ',', ')' or identifier")


def _checked(value: str) -> str:
    faults = names.label_value(value)
    if faults:
        raise Invalid(f'unable to parse requirement: values[0]: Invalid value: "{value}": {"; ".join(faults)}')
    return value


def _is_integer(text: str) -> bool:
    digits = text.removeprefix("-").removeprefix("+")
    return digits.isascii() and digits.isdigit() and len(digits) < 20
