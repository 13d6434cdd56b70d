"""Wake up when a folder's files change: inotify by its three system calls.

One `Watch` is one descriptor on one folder; events are not told apart, since whoever waits looks at the files again.
"""

import asyncio
import ctypes
import os
from pathlib import Path
from typing import Final

_MODIFY: Final = 0x2
_MOVED_TO: Final = 0x80
_CREATE: Final = 0x100
_libc = ctypes.CDLL(None, use_errno=True)


class Watch:
    """Close it after use. Raises OSError for a folder that is not there."""

    def __init__(self, folder: Path) -> None:
        self._descriptor = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
        if _libc.inotify_add_watch(self._descriptor, os.fsencode(folder), _MODIFY | _MOVED_TO | _CREATE) < 0:
            number = ctypes.get_errno()
            os.close(self._descriptor)
            raise OSError(number, os.strerror(number), str(folder))
        self._changed = asyncio.Event()
        asyncio.get_running_loop().add_reader(self._descriptor, self._read)

    async def changed(self) -> None:
        """Return once something changed since the last call (or since the start)."""
        await self._changed.wait()
        self._changed.clear()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)

    def _read(self) -> None:
        try:
            os.read(self._descriptor, 64 * 1024)
        except BlockingIOError:
            return
        self._changed.set()
