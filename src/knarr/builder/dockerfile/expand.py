"""Variables in Dockerfile words: `$x`, `${x}` and every modifier (Dockerfile reference, "Environment replacement").

`word` expands and removes quotes and escapes; single quotes keep everything. An unset variable is "". Patterns of `#`,
`##`, `%`, `%%`, `/` and `//` know `*`, `?` and a backslash. Raises ValueError with what is wrong.
"""

import re
from collections.abc import Mapping

from knarr.builder.dockerfile import lexer

DEPTH_MAX = 100
SIZE_MAX = 1 << 20
PATTERN_VALUE_MAX = 4096
PATTERN_MAX = 1024
"""Characters of a value that a pattern is tried on, and of the pattern: matching costs their product."""
_SPECIAL = "@*#?-$!0123456789"


def word(
    text: str,
    variables: Mapping[str, str],
    escape: str = "\\",
    *,
    keeps_quotes: bool = False,
    missing: list[str] | None = None,
) -> str:
    """The text with variables put in and quotes removed. `keeps_quotes` is for here-documents.

    `missing` is told the names of variables that are asked for without a modifier and are not set.
    """
    if "$" not in text and escape not in text and (keeps_quotes or ("'" not in text and '"' not in text)):
        return text
    expander = _Expander(text, variables, escape, keeps_quotes)
    expanded = expander.until("")
    if missing is not None:
        missing += expander.missing
    return expanded


def words(text: str, variables: Mapping[str, str], escape: str = "\\") -> list[str]:
    """Each word of the text expanded; a variable's white space does part words, as EXPOSE needs it."""
    found: list[str] = []
    for part in lexer.split_words(text, escape):
        found += word(part, variables, escape).split() if "$" in part else [word(part, variables, escape)]
    return found


class _Expander:
    """Walks one text; `depth` counts `${…}` inside `${…}`."""

    def __init__(self, text: str, variables: Mapping[str, str], escape: str, keeps_quotes: bool) -> None:
        self._text = text
        self._variables = variables
        self._escape = escape
        self._keeps_quotes = keeps_quotes
        self.missing: list[str] = []
        self._at = 0
        self._depth = 0
        self._size = 0

    def until(self, stops: str, *, is_pattern: bool = False) -> str:
        """The expansion up to one of `stops`, which is left unread; to the end where there is none."""
        parts: list[str] = []
        while self._at < len(self._text):
            character = self._text[self._at]
            if character in stops:
                break
            parts.append(self._piece(character, is_pattern))
            self._size += len(parts[-1])
            if self._size > SIZE_MAX:
                raise ValueError(f"the expansion is longer than {SIZE_MAX} characters")
        return "".join(parts)

    def _piece(self, character: str, is_pattern: bool) -> str:
        self._at += 1
        if character == "'" and not self._keeps_quotes:
            return self._single_quoted()
        if character == '"' and not self._keeps_quotes:
            return self._double_quoted()
        if character == "$":
            return self._dollar()
        if character == self._escape:
            return self._escaped(is_pattern)
        return character

    def _escaped(self, is_pattern: bool) -> str:
        if self._at >= len(self._text):
            return self._escape if self._keeps_quotes else ""
        following = self._text[self._at]
        if self._keeps_quotes and following not in ("$", self._escape):
            return self._escape
        self._at += 1
        return "\\" + following if is_pattern and following in "*?\\" else following

    def _single_quoted(self) -> str:
        end = self._text.find("'", self._at)
        if end < 0:
            raise ValueError(f"a single quote is not closed in {self._text[:80]!r}")
        plain = self._text[self._at : end]
        self._at = end + 1
        return plain

    def _double_quoted(self) -> str:
        parts: list[str] = []
        while self._at < len(self._text):
            character = self._text[self._at]
            self._at += 1
            if character == '"':
                return "".join(parts)
            if character == "$":
                parts.append(self._dollar())
            elif character == self._escape and self._text[self._at : self._at + 1] in ('"', "$", self._escape):
                parts.append(self._text[self._at])
                self._at += 1
            else:
                parts.append(character)
        raise ValueError(f"a double quote is not closed in {self._text[:80]!r}")

    def _dollar(self) -> str:
        if self._text[self._at : self._at + 1] == "{":
            self._at += 1
            return self._braced()
        name = self._name()
        return self._value(name) if name else "$"

    def _value(self, name: str) -> str:
        if name not in self._variables and name not in _SPECIAL:
            self.missing.append(name)
        return self._variables.get(name, "")

    def _name(self) -> str:
        start = self._at
        first = self._text[start : start + 1]
        if first and first in _SPECIAL:
            self._at += 1
            return first
        while self._at < len(self._text) and _is_name(self._text[self._at]):
            self._at += 1
        return self._text[start : self._at]

    def _braced(self) -> str:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise ValueError(f"more than {DEPTH_MAX} ${{…}} stand inside each other")
        name = self._name()
        if not name:
            raise ValueError(f"bad substitution in {self._text[:80]!r}: ${{ needs a variable's name")
        expanded = self._modified(name)
        if self._text[self._at : self._at + 1] != "}":
            raise ValueError(f"${{{name} has no closing brace in {self._text[:80]!r}")
        self._at += 1
        self._depth -= 1
        return expanded

    def _modified(self, name: str) -> str:
        rest = self._text[self._at :]
        value = self._variables.get(name)
        for operator in _OPERATORS:
            if rest.startswith(operator):
                self._at += len(operator)
                return self._apply(operator, name, value)
        if rest and rest[0] != "}":
            raise ValueError(f"unsupported modifier {rest[:2]!r} after ${{{name}")
        return self._value(name)

    def _apply(self, operator: str, name: str, value: str | None) -> str:
        if operator in ("/", "//"):
            pattern = self.until("/}", is_pattern=True)
            replacement = ""
            if self._text[self._at : self._at + 1] == "/":
                self._at += 1
                replacement = self.until("}")
            return replace(value or "", pattern, replacement, is_all=operator == "//")
        if operator in ("#", "##", "%", "%%"):
            pattern = self.until("}", is_pattern=True)
            is_longest = len(operator) == 2
            trim = trim_prefix if operator[0] == "#" else trim_suffix
            return trim(value or "", pattern, is_longest=is_longest)
        alternative = self.until("}")
        is_set = value is not None and not (operator[0] == ":" and value == "")
        if operator[-1] == "-":
            return value or "" if is_set else alternative
        if operator[-1] == "+":
            return alternative if is_set else ""
        if not is_set:
            raise ValueError(f"{name}: {alternative or 'it is not set'}")
        return value or ""


_OPERATORS = (":-", ":+", ":?", "-", "+", "?", "##", "#", "%%", "%", "//", "/")


def _is_name(character: str) -> bool:
    return character == "_" or (character.isascii() and character.isalnum())


def trim_prefix(value: str, pattern: str, *, is_longest: bool) -> str:
    """`value` without the shortest or longest start that the pattern fits."""
    match = _expression(_chunks(_tokens(pattern)), is_longest=is_longest).match(_bounded(value))
    return value if match is None else value[match.end() :]


def trim_suffix(value: str, pattern: str, *, is_longest: bool) -> str:
    """`value` without the shortest or longest end that the pattern fits."""
    match = _expression(_chunks(_tokens(pattern)[::-1]), is_longest=is_longest).match(_bounded(value)[::-1])
    return value if match is None else value[: len(value) - match.end()]


def replace(value: str, pattern: str, replacement: str, *, is_all: bool) -> str:
    """The first (or every) longest fit of the pattern replaced; what fits nothing is no fit."""
    chunks = _chunks(_tokens(pattern))
    expression = _expression(chunks, is_longest=True)
    if len(chunks) == 1:
        return expression.sub(lambda match: replacement if match[0] else "", _bounded(value), count=0 if is_all else 1)
    # With a star, only the first place that the start fits counts: what is not found behind it is not behind a later
    # one either, and nothing that fits follows the longest fit.
    start = re.compile(chunks[0], re.DOTALL).search(_bounded(value))
    match = None if start is None else expression.match(value, start.start())
    return value[: match.start()] + replacement + value[match.end() :] if match is not None and match[0] else value


def _bounded(value: str) -> str:
    if len(value) > PATTERN_VALUE_MAX:
        raise ValueError(f"a pattern is tried on values of at most {PATTERN_VALUE_MAX} characters")
    return value


def _tokens(pattern: str) -> list[str]:
    """`*` and `?` as such, a literal as "=c"."""
    if len(pattern) > PATTERN_MAX:
        raise ValueError(f"a pattern has at most {PATTERN_MAX} characters")
    tokens: list[str] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        if character == "\\" and position + 1 < len(pattern):
            position += 1
            tokens.append("=" + pattern[position])
        elif character in "*?":
            tokens.append(character)
        else:
            tokens.append("=" + character)
        position += 1
    return tokens


def _chunks(tokens: list[str]) -> list[str]:
    """The expressions of what stands before, between and after the stars; each fits texts of one length."""
    chunks = [""]
    for sign in tokens:
        if sign == "*":
            chunks.append("")
        else:
            chunks[-1] += "." if sign == "?" else re.escape(sign[1:])
    return chunks


def _expression(chunks: list[str], *, is_longest: bool) -> re.Pattern[str]:
    """All stars but the last take the least that fits and never try again: what they leave, the last can take."""
    inner = "".join(f"(?>.*?{chunk})" for chunk in chunks[1:-1])
    last = f"{'.*' if is_longest else '.*?'}{chunks[-1]}" if len(chunks) > 1 else ""
    return re.compile(chunks[0] + inner + last, re.DOTALL)
