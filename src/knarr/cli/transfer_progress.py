"""How a pull or push looks: on a terminal a bar for each layer, redrawn in place; elsewhere a line for each done one.

Everything goes to standard error. Lines of the node come in as dictionaries (`layer`, `stage`, `done`, `size`).
"""

import shutil
import sys
import time
from collections.abc import Iterable
from typing import Any

from knarr.cli import printing

REDRAW_SECONDS = 0.1
_ENDED = ("done", "exists")
_BAR_MAX, _BAR_MIN = 40, 10
_WORDS_WIDTH = 12 + 2 + 11 + 2 + 2 + 1 + 19
"""Digest, stage, brackets and sizes beside the bar."""


def bars(layers: Iterable[dict[str, Any]], columns: int, rows: int) -> list[str]:
    """The picture: a line for each layer, no wider and no higher than the terminal; what does not fit is counted."""
    shown = list(layers)
    hidden = shown[max(1, rows - 2) :]
    lines = [_bar(layer, columns) for layer in shown[: max(1, rows - 2)]]
    if hidden:
        ended = sum(layer["stage"] in _ENDED for layer in hidden)
        lines.append(f"and {len(hidden)} more, {ended} of them done"[:columns])
    return lines


def _bar(layer: dict[str, Any], columns: int) -> str:
    done, size, stage = layer["done"], layer["size"], layer["stage"]
    head = f"{layer['layer'].partition(':')[2][:12]}  {stage:<11}"
    if stage in _ENDED or not size:
        return f"{head}  {printing.size(size)}"[:columns]
    width = min(_BAR_MAX, columns - _WORDS_WIDTH)
    sizes = f"{printing.size(done)}/{printing.size(size)}"
    if width < _BAR_MIN:
        return f"{head}  {sizes}"[:columns]
    filled = min(width, done * width // size)
    tip = ">" if 0 < filled < width else ""
    return f"{head}  [{'=' * (filled - len(tip))}{tip}{' ' * (width - filled)}] {sizes}"[:columns]


class Progress:
    """Shows the lines as they come; `end` leaves the last picture standing."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_quiet = is_quiet
        self._is_live = not is_quiet and sys.stderr.isatty()
        self._layers: dict[str, dict[str, Any]] = {}
        self._height = 0
        self._drawn_at = 0.0

    def see(self, line: dict[str, Any]) -> None:
        if "layer" not in line or self._is_quiet:
            return
        before = self._layers.get(line["layer"], {}).get("stage")
        self._layers[line["layer"]] = line
        if not self._is_live:
            if line["stage"] in _ENDED and before != line["stage"]:
                printing.say(f"{line['layer'].partition(':')[2][:12]} {line['stage']} {printing.size(line['size'])}")
        elif time.monotonic() - self._drawn_at >= REDRAW_SECONDS:
            self._draw()

    def end(self) -> None:
        if self._is_live and self._layers:
            self._draw()

    def _draw(self) -> None:
        columns, rows = shutil.get_terminal_size()
        lines = bars(self._layers.values(), columns - 1, rows)
        up = f"\x1b[{self._height}A" if self._height else ""
        sys.stderr.write(up + "".join(f"\r\x1b[K{printing.printable(line)}\n" for line in lines))
        sys.stderr.flush()
        self._height, self._drawn_at = len(lines), time.monotonic()
