"""Variables in Dockerfile words: `$x`, `${x}` and every modifier (Dockerfile reference, "Environment replacement").

`word` expands and removes quotes and escapes; single quotes keep everything. An unset variable is "". Patterns of `#`,
`##`, `%`, `%%`, `/` and `//` know `*`, `?` and a backslash. Raises ValueError with what is wrong.
"""

from collections.abc import Mapping

from knarr.builder.dockerfile import lexer

DEPTH_MAX = 100
SIZE_MAX = 1 << 20
PATTERN_VALUE_MAX = 16384
"""Characters of a value that a pattern is tried on: matching costs their square."""
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
    ends = _match_ends(value, _tokens(pattern))
    if not ends:
        return value
    return value[ends[-1] if is_longest else ends[0] :]


def trim_suffix(value: str, pattern: str, *, is_longest: bool) -> str:
    """`value` without the shortest or longest end that the pattern fits."""
    ends = _match_ends(value[::-1], _tokens(pattern)[::-1])
    if not ends:
        return value
    return value[: len(value) - (ends[-1] if is_longest else ends[0])]


def replace(value: str, pattern: str, replacement: str, *, is_all: bool) -> str:
    """The first (or every) longest fit of the pattern replaced."""
    tokens = _tokens(pattern)
    if not tokens:
        return value
    parts: list[str] = []
    position = 0
    while position < len(value):
        ends = [end for end in _match_ends(value[position:], tokens) if end > 0]
        if not ends:
            parts.append(value[position])
            position += 1
            continue
        parts.append(replacement)
        position += ends[-1]
        if not is_all:
            break
    return "".join(parts) + value[position:]


def _tokens(pattern: str) -> list[str]:
    """`*` and `?` as such, a literal as "=c"."""
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


def _match_ends(value: str, tokens: list[str]) -> list[int]:
    """Where a match that begins at 0 may end, ascending: all states of the pattern are walked at once."""
    if len(value) > PATTERN_VALUE_MAX:
        raise ValueError(f"a pattern is tried on values of at most {PATTERN_VALUE_MAX} characters")
    states = _closure({0}, tokens)
    ends = [0] if len(tokens) in states else []
    for position, character in enumerate(value):
        following = set()
        for state in states:
            if state < len(tokens) and tokens[state] == "*":
                following.add(state)
            elif state < len(tokens) and tokens[state] in ("?", "=" + character):
                following.add(state + 1)
        states = _closure(following, tokens)
        if not states:
            break
        if len(tokens) in states:
            ends.append(position + 1)
    return ends


def _closure(states: set[int], tokens: list[str]) -> set[int]:
    """The states and those that a `*` matching nothing leads to."""
    reached = set(states)
    for state in states:
        while state < len(tokens) and tokens[state] == "*":
            state += 1
            reached.add(state)
    return reached
