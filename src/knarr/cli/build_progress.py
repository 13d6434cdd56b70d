"""How a build looks: plain lines, or on a terminal one live line for each running step with its time.

Everything goes to standard error. Lines of the node come in as dictionaries (nodeapi/builds.py says which).
"""

from __future__ import annotations

import os
import sys
import time

from knarr.cli.printing import printable, say

TYPE_CHECKING = False  # see main.py
if TYPE_CHECKING:
    from typing import Any

REDRAW_SECONDS = 0.2


class Quiet:
    """Shows warnings only."""

    def see(self, line: dict[str, Any]) -> None:
        if "warning" in line:
            say(f"warning: {line['warning']}")

    def end(self) -> None: ...


class Silent:
    """Shows nothing at all."""

    def see(self, line: dict[str, Any]) -> None: ...

    def end(self) -> None: ...


class Raw(Silent):
    """The node's lines as they are."""

    def see(self, line: dict[str, Any]) -> None:
        import json

        say(json.dumps(line))


class Plain(Quiet):
    """One line for each thing that happens: `#3 [base 2/4] RUN make`, `#3 DONE 1.2s`."""

    def __init__(self) -> None:
        self._titles: dict[int, str] = {}
        self._rest: dict[int, str] = {}

    def see(self, line: dict[str, Any]) -> None:
        super().see(line)
        step = line.get("step", 0)
        if "title" in line:
            self._titles[step] = line["title"]
        elif "output" in line:
            self._output(step, line["output"])
        elif "outcome" in line:
            self._ended(step, line)

    def _output(self, step: int, text: str) -> None:
        if self._titles.get(step):
            say(f"#{step} {self._titles.pop(step)}")
        *whole, self._rest[step] = (self._rest.get(step, "") + text).split("\n")
        for part in whole:
            say(f"#{step} | {part}")

    def _ended(self, step: int, line: dict[str, Any]) -> None:
        if rest := self._rest.pop(step, ""):
            say(f"#{step} | {rest}")
        title = self._titles.pop(step, "")
        outcome = "CACHED" if line["outcome"] == "cached" else f"{line['outcome'].upper()} {line['seconds']:.2f}s"
        say(f"#{step} {title} {outcome}" if title else f"#{step} {outcome}")


class Live(Quiet):
    """Ended steps scroll up; running ones stay below, each with its time and its last line of output."""

    def __init__(self) -> None:
        import threading  # only a terminal needs the clock hand

        self._running: dict[int, tuple[str, float]] = {}
        self._last: dict[int, str] = {}
        self._drawn = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._hand = threading.Thread(target=self._tick, name="progress", daemon=True)
        self._hand.start()

    def see(self, line: dict[str, Any]) -> None:
        with self._lock:
            self._clear()
            super().see(line)
            self._note(line)
            self._draw()

    def end(self) -> None:
        self._ended.set()
        self._hand.join()
        with self._lock:
            self._clear()
            sys.stderr.flush()

    def _tick(self) -> None:
        """Let the times of running steps go on while nothing is said."""
        while not self._ended.wait(REDRAW_SECONDS):
            with self._lock:
                self._clear()
                self._draw()

    def _note(self, line: dict[str, Any]) -> None:
        step = line.get("step", 0)
        if "title" in line:
            self._running[step] = (line["title"], time.monotonic())
        elif "output" in line:
            self._last[step] = (line["output"].strip().rpartition("\n")[2] or self._last.get(step, ""))[-200:]
        elif "outcome" in line and step in self._running:
            title, _ = self._running.pop(step)
            mark = {"cached": "=", "done": "✓", "failed": "✗"}[line["outcome"]]
            took = "cached" if line["outcome"] == "cached" else f"{line['seconds']:.2f} s"
            say(f"{mark} {title} ({took})")

    def _draw(self) -> None:
        width = _width()
        now = time.monotonic()
        for step, (title, began) in self._running.items():
            last = f"  {self._last[step]}" if self._last.get(step) else ""
            text = printable(f"… {title} {now - began:.1f} s{last}".replace("\n", " ").replace("\t", " "))
            sys.stderr.write(text[: width - 1] + "\n")
            self._drawn += 1
        sys.stderr.flush()

    def _clear(self) -> None:
        if self._drawn:
            sys.stderr.write(f"\x1b[{self._drawn}A\x1b[J")
            self._drawn = 0


def _width() -> int:
    """Columns of the terminal; 80 where it does not say."""
    try:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    except OSError:
        return 80
    return columns if columns >= 20 else 80


def chosen(progress: str, *, is_quiet: bool) -> Quiet | Silent:
    if progress == "rawjson":
        return Raw()
    if progress == "quiet":
        return Silent()
    if is_quiet:
        return Quiet()
    is_live = progress == "tty" or (progress == "auto" and sys.stderr.isatty())
    return Live() if is_live else Plain()
