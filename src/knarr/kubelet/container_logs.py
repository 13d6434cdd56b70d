"""A container's log as it is asked for: tail, since, limits, and following it across rotations to the container's end.

It reads the file that the runtime writes (CRI log format: log_lines.py) and waits by inotify; nothing polls. A log is
opened beneath the folder of all pod logs without following a link, so that no container can point it elsewhere.
"""

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

from knarr.base import linux
from knarr.base.errors import NotFound
from knarr.kubelet import log_rotation
from knarr.kubelet.inotify import Watch
from knarr.kubelet.log_lines import LineReader, LogOptions

PIECE: Final = 64 * 1024
Ended = Callable[[], Awaitable[None]]
"""Returns once the container writes no more."""
_BENEATH: Final = linux.RESOLVE_BENEATH | linux.RESOLVE_NO_SYMLINKS | linux.RESOLVE_NO_MAGICLINKS


def open_log(root: Path, path: Path) -> int:
    """A descriptor of a regular file below `root`. Raises NotFound for anything else."""
    try:
        relative = path.relative_to(root)
        directory = os.open(root, os.O_PATH | os.O_CLOEXEC)
    except (ValueError, OSError) as error:
        raise NotFound(f"{path}: no log there") from error
    try:
        descriptor = linux.openat2(directory, str(relative), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK, _BENEATH)
    except OSError as error:
        raise NotFound(f"{path}: no log there") from error
    finally:
        os.close(directory)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotFound(f"{path}: not a log")
    return descriptor


def check(root: Path, path: Path) -> None:
    """Raises NotFound unless the log can be opened: said before the answer begins."""
    os.close(open_log(root, path))


async def read_log(root: Path, path: Path, wanted: LogOptions, ended: Ended | None) -> AsyncIterator[bytes]:
    """The answer in pieces. `ended` is needed to follow."""
    reader = LineReader(wanted)
    watch = Watch(path.parent) if wanted.follows and ended is not None else None
    ending = asyncio.ensure_future(ended()) if ended is not None else None
    descriptor = following = -1
    try:
        descriptor = open_log(root, path)
        os.lseek(descriptor, tail_offset(descriptor, wanted.tail), os.SEEK_SET)
        while True:
            was_over = ending is None or ending.done()
            following = _following(root, path, descriptor) if watch is not None else -1
            # Read after the look: what was written to this file before the next one began is in it now.
            while content := os.read(descriptor, PIECE):
                if answer := reader.feed(content):
                    yield answer
                if reader.is_over():
                    return
            if following >= 0:
                os.close(descriptor)
                descriptor, following = following, -1
            elif watch is None or was_over:
                return
            else:
                assert ending is not None
                await _first(watch, ending)
    finally:
        if ending is not None:
            ending.cancel()
        if watch is not None:
            watch.close()
        _close(descriptor, following)


def tail_offset(descriptor: int, lines: int | None) -> int:
    """Where the last `lines` lines begin; 0 for all of them. An unfinished last line counts as one."""
    if lines is None:
        return 0
    size = position = os.fstat(descriptor).st_size
    if lines == 0 or size == 0:
        return size
    missing = lines + (os.pread(descriptor, 1, size - 1) == b"\n")
    while position > 0:
        start = max(0, position - PIECE)
        piece = os.pread(descriptor, position - start, start)
        found = piece.count(b"\n")
        if found >= missing:
            at = len(piece)
            for _ in range(missing):
                at = piece.rindex(b"\n", 0, at)
            return start + at + 1
        missing -= found
        position = start
    return 0


def _following(root: Path, path: Path, descriptor: int) -> int:
    """A descriptor of the file that follows this one, once it was rotated; -1 if this is the newest. A slow reader may
    be several files behind; one whose file is gone goes on with the oldest that there is."""
    ours = _identity(descriptor)
    current = _opened(root, path)
    if current < 0 or _identity(current) == ours:
        _close(current)
        return -1
    opened = [*filter(lambda found: found >= 0, (_opened(root, name) for name in log_rotation.rotated(path))), current]
    after = next((at + 1 for at, found in enumerate(opened) if _identity(found) == ours), 0)
    _close(*opened[:after], *opened[after + 1 :])
    return opened[after]


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)


def _opened(root: Path, path: Path) -> int:
    with contextlib.suppress(NotFound):
        return open_log(root, path)
    return -1


def _identity(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


async def _first(watch: Watch, ending: "asyncio.Future[None]") -> None:
    changing = asyncio.ensure_future(watch.changed())
    try:
        await asyncio.wait({changing, ending}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        changing.cancel()
        await asyncio.gather(changing, return_exceptions=True)
