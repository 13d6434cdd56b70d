"""A file that the user names for a result: written whole or not at all.

The content goes into a draft beside it, which takes its place at the end. What is no regular file stays what it is:
/dev/null, a terminal or a named pipe is written to, never replaced. A link is followed, as `>` in a shell follows it.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def written(target: Path) -> Iterator[BinaryIO]:
    """A file to write to. Raises OSError."""
    place = Path(os.path.realpath(target))
    try:
        mode = place.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    if stat.S_ISREG(mode):
        with _draft(place) as file:
            yield file
    else:
        # A directory is refused here, in the system's words.
        with open(place, "wb") as file:
            yield file


@contextlib.contextmanager
def _draft(place: Path) -> Iterator[BinaryIO]:
    draft = place.with_name(f"{place.name}.part")
    draft.unlink(missing_ok=True)
    try:
        # Exclusively: in a directory that others may write to, nobody's link leads the draft elsewhere.
        with open(draft, "xb") as file:
            yield file
        draft.replace(place)
    finally:
        draft.unlink(missing_ok=True)
