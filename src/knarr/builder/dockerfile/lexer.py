"""From the text of a Dockerfile to logical lines: directives, comments, continuations and here-documents.

Decides which physical lines belong together. What a line means is parser.py's. Follows the Dockerfile reference,
"Format", "Parser directives" and "Here-Documents": a comment line or an empty line inside a continuation is dropped;
the escape character is a backslash or what `# escape=` says.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from knarr.base.errors import TooLarge
from knarr.builder.dockerfile.faults import Place, fault

SIZE_MAX = 1 << 20
LINES_MAX = 50_000
DIRECTIVES = ("syntax", "escape", "check")
_DIRECTIVE = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(\S.*)", re.ASCII)
_HEREDOC = re.compile(r"([0-9]*)<<(-?)([^<]*)")
_HEREDOC_WORDS = ("RUN", "COPY", "ADD")


@dataclass(frozen=True, slots=True)
class Heredoc:
    """`expands` is False where the delimiter was quoted; `content` ends with a newline unless it is empty."""

    name: str
    content: str
    expands: bool
    strips_tabs: bool
    descriptor: int


@dataclass(frozen=True, slots=True)
class Line:
    """One instruction's text, continuations joined. `heredocs` follow it in the file."""

    place: Place
    text: str
    heredocs: tuple[Heredoc, ...] = ()


@dataclass(frozen=True, slots=True)
class Lexed:
    """`directives` by lower-case name; `escape` is the escape character.

    For checks alone: `empty_continuations` are empty lines inside instructions, `comments` what stands in comments
    directly above the line of that number.
    """

    lines: tuple[Line, ...]
    directives: dict[str, str]
    escape: str
    empty_continuations: tuple[Place, ...] = ()
    comments: dict[int, str] = field(default_factory=dict)


def lex(text: str, file: str = "Dockerfile") -> Lexed:
    """The logical lines of a Dockerfile. Raises TooLarge, DockerfileFault."""
    if len(text) > SIZE_MAX:
        raise TooLarge(f"{file}: {len(text)} characters are more than {SIZE_MAX}")
    physical = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    if len(physical) > LINES_MAX:
        raise TooLarge(f"{file}: {len(physical)} lines are more than {LINES_MAX}")
    directives = _directives(physical, file)
    escape = directives.get("escape", "\\")
    walk = _Lines(physical, file, escape, start=len(directives))
    lines = tuple(walk.all())
    return Lexed(lines, directives, escape, tuple(walk.empty), walk.comments)


def split_words(text: str, escape: str) -> list[str]:
    """Words at unquoted white space; quotes and escapes stay in the words."""
    return list(_words(text, escape))


def first_word(text: str, escape: str) -> str:
    """The first of them, however long the rest is; "" for none."""
    return next(_words(text, escape), "")


def _words(text: str, escape: str) -> Iterator[str]:
    start, quote, position = -1, "", 0
    while position < len(text):
        character = text[position]
        if not quote and character.isspace():
            if start >= 0:
                yield text[start:position]
            start = -1
        elif start < 0:
            start = position
        if character == escape and quote != "'" and position + 1 < len(text):
            position += 1
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        position += 1
    if start >= 0:
        yield text[start:]


def _directives(physical: list[str], file: str) -> dict[str, str]:
    """Directives stand before everything else; the first line that is none ends them."""
    found: dict[str, str] = {}
    for number, line in enumerate(physical, 1):
        match = _DIRECTIVE.fullmatch(line.strip())
        name = match[1].lower() if match else ""
        if match is None or name not in DIRECTIVES:
            return found
        place = Place(file, number, number, line)
        if name in found:
            raise fault(place, f"only one {name} directive may be given", match[1])
        if name == "escape" and match[2] not in ("\\", "`"):
            raise fault(place, f"escape is a backslash or a backquote, not {match[2]!r}", match[2])
        found[name] = match[2]
    return found


class _Lines:
    """Walks the physical lines once."""

    def __init__(self, physical: list[str], file: str, escape: str, *, start: int) -> None:
        self._physical = physical
        self._file = file
        self._escape = escape
        self._next = start
        self.empty: list[Place] = []
        self.comments: dict[int, str] = {}
        quoted = re.escape(escape)
        self._continued = re.compile(rf"(?:[^{quoted}]|^){quoted}[ \t]*$")

    def all(self) -> list[Line]:
        lines = []
        comment = ""
        while self._next < len(self._physical):
            first = self._physical[self._next]
            if not first.strip() or first.lstrip().startswith("#"):
                comment = f"{comment} {first.lstrip()[1:].strip()}".strip()
                comment = comment if first.strip() else ""
                self._next += 1
                continue
            if comment:
                self.comments[self._next + 1] = comment
                comment = ""
            line = self._logical(first)
            if line.text.strip():
                lines.append(line)
        return lines

    def _logical(self, first: str) -> Line:
        start = self._next
        text = self._joined()
        heredocs = tuple(self._heredocs(start, first, text))
        return Line(Place(self._file, start + 1, self._next, first), text.rstrip(), heredocs)

    def _joined(self) -> str:
        """The line with its continuations; comments and empty lines between them are dropped."""
        joined = ""
        is_first = True
        while self._next < len(self._physical):
            line = self._physical[self._next]
            if not is_first and (not line.strip() or line.lstrip().startswith("#")):
                self._next += 1
                if not line.strip():
                    self.empty.append(Place(self._file, self._next, self._next, line))
                continue
            self._next += 1
            line = line.lstrip() if is_first else line
            is_first = False
            match = self._continued.search(line)
            if match is None:
                return joined + line
            joined += line[: line.rindex(self._escape)]
        return joined

    def _heredocs(self, start: int, first: str, text: str) -> list[Heredoc]:
        words = text.split(None, 1)
        if words and words[0].upper() == "ONBUILD" and len(words) == 2:
            words = words[1].split(None, 1)
        if len(words) < 2 or words[0].upper() not in _HEREDOC_WORDS or "<<" not in words[1]:
            return []
        found = []
        for word in split_words(words[1], self._escape):
            match = _HEREDOC.fullmatch(word)
            name = match[3].replace("'", "").replace('"', "") if match else ""
            if match and name and not any(c.isspace() for c in name):
                place = Place(self._file, start + 1, start + 1, first)
                content = self._heredoc(name, match[2] == "-", place)
                found.append(Heredoc(name, content, name == match[3], match[2] == "-", int(match[1] or 0)))
        return found

    def _heredoc(self, name: str, strips_tabs: bool, place: Place) -> str:
        content: list[str] = []
        while self._next < len(self._physical):
            line = self._physical[self._next]
            self._next += 1
            line = line.lstrip("\t") if strips_tabs else line
            if line == name:
                return "".join(f"{kept}\n" for kept in content)
            content.append(line)
        raise fault(place, f"the here-document <<{name} has no end: a line with {name} alone is missing", f"<<{name}")
