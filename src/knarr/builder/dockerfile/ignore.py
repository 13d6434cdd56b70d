"""`.dockerignore`: which paths of the context stay out.

Go's filepath.Match patterns plus `**`; a pattern that fits a directory covers what lies in it; `!` brings back; the
last pattern that fits decides. Paths are relative to the context, with slashes. The CLI imports this: no dataclasses.
"""

import posixpath
import re
from collections.abc import Iterable

from knarr.base.errors import Invalid

_NAME, _ANYTHING, _DIRECTORIES = "[^/]*", ".*", "(?:.*/)?"
"""What `*`, `**` and `**/` fit."""
_LEAST = {_ANYTHING: ".*?", _DIRECTORIES: "(?:.*?/)??"}
_RETRIED_MAX = 2


class Pattern:
    """`prefix` is the part before the first wildcard: no path outside it (or above it) can fit."""

    __slots__ = ("is_negated", "prefix", "regex")

    def __init__(self, regex: re.Pattern[str], is_negated: bool, prefix: str) -> None:
        self.regex, self.is_negated, self.prefix = regex, is_negated, prefix


Matched = tuple[bool, ...]
"""Which patterns fitted a directory; they fit all that lies in it."""


class Ignore:
    """Patterns in their order."""

    __slots__ = ("patterns",)

    def __init__(self, patterns: tuple[Pattern, ...] = ()) -> None:
        self.patterns = patterns

    def excludes(self, path: str) -> bool:
        """Whether the path stays out, by itself or by a directory above it."""
        is_out, matched, parts = False, self.nothing, path.split("/") if self.patterns else []
        for depth in range(1, len(parts) + 1):
            is_out, matched = self.step("/".join(parts[:depth]), matched)
        return is_out

    @property
    def nothing(self) -> Matched:
        """What fitted above the context: nothing."""
        return (False,) * len(self.patterns)

    def step(self, path: str, parent: Matched) -> tuple[bool, Matched]:
        """Whether the path stays out, and what its own children shall be told; `parent` is from its directory.

        A pattern that cannot change the verdict so far counts as not fitting, as BuildKit does it.
        """
        is_out = False
        matched = []
        for pattern, has_fitted in zip(self.patterns, parent, strict=True):
            may_change = pattern.is_negated == is_out
            fits = has_fitted or (may_change and pattern.regex.fullmatch(path) is not None)
            if fits:
                is_out = not pattern.is_negated
            matched.append(fits)
        return is_out, tuple(matched)

    def may_hold_kept(self, directory: str) -> bool:
        """Whether something in an excluded directory may be brought back, so that it must be walked."""
        return any(pattern.is_negated and _may_lie_in(pattern.prefix, directory) for pattern in self.patterns)


def read(text: str, file: str = ".dockerignore") -> Ignore:
    """The patterns of a file. Raises Invalid naming the line of a bad one."""
    lines = text.removeprefix("\ufeff").splitlines()
    patterns = []
    for number, line in enumerate(lines, 1):
        if line.startswith("#") or not line.strip():
            continue
        try:
            patterns.append(compile_pattern(line.strip()))
        except ValueError as error:
            raise Invalid(f"{file}:{number}: {error}\n  {number} | {line.strip()[:160]}") from error
    return Ignore(tuple(patterns))


def of(patterns: Iterable[str]) -> Ignore:
    """The same from patterns that are values (`COPY --exclude`). Raises ValueError."""
    return Ignore(tuple(compile_pattern(pattern) for pattern in patterns if pattern.strip()))


def compile_pattern(text: str) -> Pattern:
    """One pattern. Raises ValueError."""
    is_negated = text.startswith("!")
    body = text[1:].strip() if is_negated else text
    if not body:
        raise ValueError('an exclamation mark alone: "!" needs a pattern')
    body = posixpath.normpath(body).lstrip("/") or "."
    while body.startswith("../"):
        body = body[3:]
    wild = re.search(r"[*?\[\\]", body)
    prefix = body if wild is None else body[: wild.start()].rpartition("/")[0]
    return Pattern(re.compile(glob_regex(body), re.DOTALL), is_negated, prefix)


def glob_regex(body: str) -> str:
    """The regular expression of a pattern with `**`. Raises ValueError for a bad class or escape."""
    parts: list[str] = []
    position = 0
    while position < len(body):
        character = body[position]
        position += 1
        if character == "*":
            piece, position = _star(body, position)
        elif character == "?":
            piece = "[^/]"
        elif character == "[":
            piece, position = _class(body, position)
        elif character == "\\":
            if position >= len(body):
                raise ValueError("the pattern ends with a backslash")
            piece, position = re.escape(body[position]), position + 1
        else:
            piece = re.escape(character)
        # `**/**/` says what `**/` says.
        if not (piece == _DIRECTORIES and parts and parts[-1] == piece):
            parts.append(piece)
    return _without_retries(parts)


def _without_retries(parts: list[str]) -> str:
    """The pieces as one expression whose time grows with the path alone, not with each wildcard's power of it.

    A wildcard followed by another one may take the least that fits, and never needs a second try: what the first leaves
    out, the second can take. So all but the last are atomic groups.
    """
    sections: list[tuple[str, list[str]]] = [("", [])]
    for piece in parts:
        if piece in (_ANYTHING, _DIRECTORIES):
            sections.append((piece, []))
        else:
            sections[-1][1].append(piece)
    text, retried = "", 0
    for number, (wildcard, body) in enumerate(sections):
        following = sections[number + 1][0] if number + 1 < len(sections) else ""
        # `x**/y` is no such wildcard: it takes nothing, or up to a slash.
        is_glued = following == _DIRECTORIES and body[-1:] != ["/"] and (wildcard != "" or _NAME in body)
        if is_glued or not following:
            text += wildcard + _names(body, is_retried=True)
            retried += is_glued
        else:
            text += f"(?>{_LEAST.get(wildcard, '')}{_names(body, is_retried=False)})"
    if retried > _RETRIED_MAX:
        raise ValueError(f"more than {_RETRIED_MAX} `**` stand between other wildcards and a slash")
    return text


def _names(body: list[str], *, is_retried: bool) -> str:
    """What stands between two `**`."""
    chunks = "".join(body).split(_NAME)
    text = chunks[0]
    for number, chunk in enumerate(chunks[1:], 1):
        is_last = number == len(chunks) - 1
        text += f"{_NAME}{chunk}" if is_last and is_retried else f"(?>{_NAME}?{chunk})"
    return text


def match_path(pattern: str, name: str) -> bool:
    """Go's filepath.Match of one whole path. Raises ValueError for a bad pattern."""
    return re.fullmatch(glob_regex(pattern.replace("**", "*")), name, re.DOTALL) is not None


def _star(body: str, position: int) -> tuple[str, int]:
    if body[position : position + 1] != "*":
        return _NAME, position
    while body[position : position + 1] == "*":
        position += 1
    if body.startswith("**") and not re.search(r"[*?\[\\]", body[2:]) and body[2:3] != "/":
        # `**x` at the start, without another wildcard, is any path that ends so.
        return _ANYTHING, position
    if body[position : position + 1] == "/":
        position += 1
        return (_DIRECTORIES if position < len(body) else _ANYTHING), position
    return _ANYTHING, position


def _class(body: str, position: int) -> tuple[str, int]:
    """`[a-z]`, `[^a-z]` with backslash escapes, as Go reads it."""
    start = position
    is_negated = body[position : position + 1] == "^"
    position += is_negated
    ranges: list[str] = []
    while body[position : position + 1] != "]" or not ranges:
        low, position = _class_character(body, position, start)
        high = low
        if body[position : position + 1] == "-":
            high, position = _class_character(body, position + 1, start)
        if high < low:
            raise ValueError(f"bad class in {body!r}: {low}-{high} runs backwards")
        ranges.append(f"{re.escape(low)}-{re.escape(high)}")
    return f"[{'^/' if is_negated else ''}{''.join(ranges)}]", position + 1


def _class_character(body: str, position: int, start: int) -> tuple[str, int]:
    character = body[position : position + 1]
    if character == "\\":
        position += 1
        character = body[position : position + 1]
    elif character in ("-", "]"):
        raise ValueError(f"bad class {body[start - 1 : position + 1]!r}")
    if not character:
        raise ValueError(f"the class {body[start - 1 :]!r} has no end")
    return character, position + 1


def _may_lie_in(prefix: str, directory: str) -> bool:
    if not prefix:
        return True
    return prefix == directory or prefix.startswith(f"{directory}/") or directory.startswith(f"{prefix}/")
