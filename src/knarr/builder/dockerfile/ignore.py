"""`.dockerignore`: which paths of the context stay out.

Go's filepath.Match patterns plus `**`; a pattern that fits a directory covers what lies in it; `!` brings back; the
last pattern that fits decides. Paths are relative to the context, with slashes. The CLI imports this: no dataclasses.
"""

import posixpath
import re
from collections.abc import Iterable

from knarr.base.errors import Invalid


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
        is_out, matched, parts = False, self.nothing, path.split("/")
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
        # `**/**/` says what `**/` says; keeping both would make matching slow.
        if not (piece == "(?:.*/)?" and parts and parts[-1] == piece):
            parts.append(piece)
    return "".join(parts)


def match_path(pattern: str, name: str) -> bool:
    """Go's filepath.Match of one whole path. Raises ValueError for a bad pattern."""
    return re.fullmatch(glob_regex(pattern.replace("**", "*")), name, re.DOTALL) is not None


def _star(body: str, position: int) -> tuple[str, int]:
    if body[position : position + 1] != "*":
        return "[^/]*", position
    while body[position : position + 1] == "*":
        position += 1
    if body.startswith("**") and not re.search(r"[*?\[\\]", body[2:]) and body[2:3] != "/":
        # `**x` at the start, without another wildcard, is any path that ends so.
        return ".*", position
    if body[position : position + 1] == "/":
        position += 1
        return ("(?:.*/)?" if position < len(body) else ".*"), position
    return ".*", position


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
