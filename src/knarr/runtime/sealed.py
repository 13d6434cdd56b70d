"""A copy of the runtime's program that nobody can write to: in memory, sealed.

crun makes sure that a container cannot overwrite it through /proc/self/exe (CVE-2019-5736): each time it is started
from a file that could be written to, it mounts that file read-only, starts itself anew from there and unmounts it.
Started from a sealed copy it need not: one start less for each exec, start and deletion. Not here: who starts it
(launcher.py).
"""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Final

BYTES_MAX: Final = 4 * 1024 * 1024
"""A copy stays in memory as long as knarr runs: crun has half a megabyte, runc nine."""
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
_MFD_EXEC: Final = 0x10
"""Says since Linux 6.3 that the copy is to be executed; the os module does not name it."""


class SealedProgram:
    """The copy of one program, made when it is first started and anew when the program has changed."""

    def __init__(self, program: str) -> None:
        self.program = program
        self._descriptor: int | None = None
        self._copied: tuple[int, ...] = ()
        self._is_refused = False

    def executable(self) -> str:
        """The path to execute: the copy's, or the program's own where there can be none."""
        if self._is_refused:
            return self.program
        found = os.stat(self.program)
        version = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
        if version != self._copied:
            self.close()
            self._descriptor = _copy(self.program) if found.st_size <= BYTES_MAX else None
            self._copied = version
        if self._descriptor is None:
            return self.program
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"  # not /proc/self: a child closes what it is not given

    def refuse(self) -> None:
        """The machine does not execute copies: use the program itself from now on."""
        self._is_refused = True

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _copy(program: str) -> int | None:
    """None where the machine does not allow it."""
    content = Path(program).read_bytes()
    descriptor = _memory(Path(program).name)
    if descriptor is None:
        return None
    try:
        if os.write(descriptor, content) == len(content):
            fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
            return descriptor
    except OSError:
        pass
    os.close(descriptor)
    return None


def _memory(name: str) -> int | None:
    for flags in (_MFD_EXEC, 0):  # the second for a kernel that does not know the flag
        with contextlib.suppress(OSError):
            return os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | flags)
    return None
