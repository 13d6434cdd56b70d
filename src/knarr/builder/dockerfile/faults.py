"""How a Dockerfile fails: the file and line, the text with a caret below it, and what would be right.

`Place` is where an instruction stands. Every fault is an Invalid, because no retry helps.
"""

import difflib
import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from knarr.base.errors import Invalid

_SHOWN_MAX = 160
"""Characters of a faulty line that are shown: more would not fit a terminal."""


_COMPARED_MAX, CANDIDATES_MAX = 64, 100


@dataclass(frozen=True, slots=True)
class Place:
    """`line` to `end` are line numbers from 1; `text` is the first of these lines as written."""

    file: str
    line: int
    end: int
    text: str


class DockerfileFault(Invalid):
    """A Dockerfile that cannot be built as it is written."""

    def __init__(self, place: Place, what: str) -> None:
        super().__init__(what)
        self.place = place
        self.what = what


def fault(place: Place, what: str, at: str = "") -> DockerfileFault:
    """A fault at `place`; the caret points at the text `at` in the line, or at its start."""
    shown = place.text.rstrip()[:_SHOWN_MAX].expandtabs(1)
    column = max(shown.find(at), 0) if at else len(shown) - len(shown.lstrip())
    width = max(1, min(len(at) if at else 1, len(shown) - column))
    margin = f"  {place.line} | "
    caret = " " * (len(margin) + column) + "^" * width
    return DockerfileFault(place, f"{place.file}:{place.line}: {what}\n{margin}{shown}\n{caret}")


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean COPY?`, or nothing where no known word is near."""
    near = close(word, known, 0.6)
    return f"; did you mean {near}?" if near else ""


def close(word: str, known: Iterable[str], cutoff: float) -> str:
    """The known word that is nearest, "" for none. Comparing costs the square of the length: long words have none."""
    if len(word) > _COMPARED_MAX:
        return ""
    candidates = [other for other in itertools.islice(known, CANDIDATES_MAX) if len(other) <= _COMPARED_MAX]
    return next(iter(difflib.get_close_matches(word, candidates, n=1, cutoff=cutoff)), "")
