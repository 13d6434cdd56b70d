"""A small file whose last whole line counts: a value that changes a few times in its life, kept cheaply.

Writing appends one line. Replacing a file by a rename would make some file systems write the old one out first, half a
millisecond each time. A line cut short by a crash is skipped, so a reader finds the value before it. Not here: when the
bytes reach the disk; what is kept so describes things that a power loss ends anyway.
"""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

LENGTH_MAX = 256 << 10
"""Bytes after which the file is replaced by its last line."""


def append(path: Path, line: bytes) -> None:
    """Make `line` (without a line break in it) the file's value; the file is made, 0600, if there is none."""
    assert b"\n" not in line
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        # The leading break ends a line that a crash cut short.
        content = b"\n" + line + b"\n"
        if os.write(descriptor, content) < len(content):
            # A disk that is nearly full takes a part, which does not count; a second write would say no more.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        is_long = os.fstat(descriptor).st_size > LENGTH_MAX
    finally:
        os.close(descriptor)
    if is_long:
        temporary = path.with_name(path.name + ".new")
        temporary.unlink(missing_ok=True)
        append(temporary, line)
        temporary.rename(path)


def latest(path: Path) -> Iterator[bytes]:
    """The file's lines, the newest first: the first that can be read is its value. Nothing for no file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    whole, _, _ = content.rpartition(b"\n")
    yield from (line for line in reversed(whole.split(b"\n")) if line)
