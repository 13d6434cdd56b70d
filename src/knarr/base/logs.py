"""Logs: one line per decision, past tense, `key=value`, the object first.

`log(part)` gives a part its logger; `configure` sends all of them to one stream. Values with spaces are quoted,
control characters escaped and every line cut at LINE_MAX, so that no input can forge or flood a log.
"""

import json
import logging
import sys
from typing import IO

LINE_MAX = 4096
"""Bytes of a line that are kept: long enough for a command line, short enough for a terminal."""


def log(part: str) -> logging.Logger:
    """The logger of a part (`kubelet`, `apiserver`, …)."""
    return logging.getLogger(f"knarr.{part}")


def fields(**values: object) -> str:
    """`key=value` pairs, quoted where a reader or a parser would stumble."""
    return " ".join(f"{key}={_quoted(str(value))}" for key, value in values.items())


def _quoted(text: str) -> str:
    return text if text.isascii() and text.isprintable() and " " not in text and text else json.dumps(text)


class _OneLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        return "".join(c if c.isprintable() or c == "\t" else json.dumps(c)[1:-1] for c in line)[:LINE_MAX]


def configure(level: str = "INFO", stream: IO[str] | None = None) -> None:
    """Send every part's log to `stream` (standard error if None)."""
    root = logging.getLogger("knarr")
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False
