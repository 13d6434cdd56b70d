"""What the knarr command prints, and how it fails: data on stdout, talk on stderr, one error shape, stable exit codes.

An error is three lines: what happened, why, and what to do. Verbs raise `Failure` (or any KnarrError); cli/main.py
prints it. Escape sequences and control characters from outside never reach the terminal.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NOT_RUNNING = 3
EXIT_NOT_ALLOWED = 4
EXIT_IN_USE = 5
EXIT_MISSING = 6
EXIT_INTERRUPTED = 130


class Failure(Exception):
    """A verb cannot go on: `what` happened, `why`, and what `todo` about it."""

    def __init__(self, what: str, why: str = "", todo: str = "", code: int = EXIT_FAILED) -> None:
        super().__init__(what)
        self.what, self.why, self.todo, self.code = what, why, todo, code


def say(text: str) -> None:
    """Talk: a line on standard error."""
    _write(printable(text))


def show(text: str) -> None:
    """Data: a line on standard output."""
    print(printable(text), flush=True)


def show_failure(failure: Failure) -> None:
    say(f"error: {failure.what}")
    if failure.why:
        say(f"  why: {failure.why}")
    if failure.todo:
        say(f"   do: {failure.todo}")


def printable(text: str) -> str:
    """The text with control characters (but newline and tab) made visible."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text)


@contextmanager
def step(text: str) -> Iterator[None]:
    """A check-marked step with its time: `✓ API answers (0.31 s)`; a cross when it fails."""
    began = time.monotonic()
    try:
        yield
    except BaseException:
        _write(f"{_mark('✗', 31)} {printable(text)}")
        raise
    _write(f"{_mark('✓', 32)} {printable(text)} ({time.monotonic() - began:.2f} s)")


def _write(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _mark(mark: str, colour: int) -> str:
    return f"\x1b[{colour}m{mark}\x1b[0m" if _has_colour() else mark


def _has_colour() -> bool:
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as kubectl prints them: upper-case header, three spaces between, no trailing blanks."""
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def size(count: int) -> str:
    """Bytes as docker prints them: 1.23MB."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.4g}{unit}" if unit != "B" else f"{count}B"
        amount /= 1000
    raise AssertionError
