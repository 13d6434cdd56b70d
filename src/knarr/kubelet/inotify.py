"""Wake up when a folder's files change: inotify by its three system calls.

All watches of a loop share one descriptor: a user may have 128 of them, and one `kubectl logs -f` of many pods would
take them all. Events are not told apart, since whoever waits looks at the files again.
"""

import asyncio
import ctypes
import os
import struct
from pathlib import Path
from typing import Final

_EVENTS: Final = 0x2 | 0x40 | 0x80 | 0x100 | 0x200
"""MODIFY, MOVED_FROM, MOVED_TO, CREATE and DELETE."""
_HEAD: Final = struct.Struct("iIII")  # watch, mask, cookie, bytes of the name that follows
_libc = ctypes.CDLL(None, use_errno=True)


class Watch:
    """One folder. Close it after use. Raises OSError for a folder that is not there."""

    def __init__(self, folder: Path) -> None:
        self._changed = asyncio.Event()
        self._shared = _Shared.of(asyncio.get_running_loop())
        self._number = self._shared.add(folder, self._changed)

    async def changed(self) -> None:
        """Return once something changed since the last call (or since the start)."""
        await self._changed.wait()
        self._changed.clear()

    def close(self) -> None:
        self._shared.remove(self._number, self._changed)


class _Shared:
    """The descriptor of one loop, from the first watch to the last."""

    _by_loop: Final[dict[asyncio.AbstractEventLoop, "_Shared"]] = {}

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[int, list[asyncio.Event]] = {}
        self._descriptor = _libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        loop.add_reader(self._descriptor, self._read)

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> "_Shared":
        if loop not in cls._by_loop:
            cls._by_loop[loop] = cls(loop)
        return cls._by_loop[loop]

    def add(self, folder: Path, event: asyncio.Event) -> int:
        """The number of the folder's watch, which all who watch that folder share."""
        number = _libc.inotify_add_watch(self._descriptor, os.fsencode(folder), _EVENTS)
        if number < 0:
            error = OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(folder))
            self._close_if_unused()
            raise error
        self._waiting.setdefault(number, []).append(event)
        return int(number)

    def remove(self, number: int, event: asyncio.Event) -> None:
        waiting = self._waiting.get(number, [])
        if event in waiting:
            waiting.remove(event)
        if not waiting and self._waiting.pop(number, None) is not None:
            _libc.inotify_rm_watch(self._descriptor, number)  # fails for a folder that is gone, which is as good
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if not self._waiting and self._by_loop.get(self._loop) is self:
            del self._by_loop[self._loop]
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)

    def _read(self) -> None:
        try:
            content = os.read(self._descriptor, 64 * 1024)
        except BlockingIOError:
            return
        position = 0
        while position < len(content):
            number, _, _, size = _HEAD.unpack_from(content, position)
            position += _HEAD.size + size
            # -1: the kernel's queue ran over, and anything may have changed.
            for woken in (self._waiting.get(number, []),) if number >= 0 else self._waiting.values():
                for event in woken:
                    event.set()
