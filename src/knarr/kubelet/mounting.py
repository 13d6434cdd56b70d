"""The few system calls about mounts that volumes need: bind, tmpfs, unmount, and safe opening below a directory.

Thin over libc; decides nothing. `open_beneath` is openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS: a link
inside a volume cannot lead out of it, whoever swaps it when (TRUST SEC-28).
"""

import ctypes
import os
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
MS_BIND, MS_REC, MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x1000, 0x4000, 2, 4, 8
MNT_DETACH = 2
SYS_OPENAT2 = 437
RESOLVE_NO_MAGICLINKS, RESOLVE_BENEATH = 0x02, 0x08


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(directory_fd: int, path: str, flags: int) -> int:
    """A descriptor of `path` below the directory; OSError (EXDEV if it would lead out)."""
    how = _OpenHow(flags | os.O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
    fd = _libc.syscall(SYS_OPENAT2, directory_fd, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
    if fd < 0:
        _raise(path)
    return int(fd)


def bind_fd(fd: int, target: Path) -> None:
    """Bind-mount what the descriptor stands for."""
    _mount(f"/proc/self/fd/{fd}", target, "", MS_BIND | MS_REC, "")


def mount_tmpfs(target: Path, options: str) -> None:
    _mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, options)


def unmount(target: Path) -> None:
    """Unmount lazily; what is not mounted is fine."""
    if _libc.umount2(os.fsencode(target), MNT_DETACH) != 0 and ctypes.get_errno() not in (2, 22):
        _raise(str(target))


def is_mounted(target: Path) -> bool:
    """Whether something is mounted exactly there."""
    try:
        return os.stat(target).st_dev != os.stat(target.parent).st_dev
    except FileNotFoundError:
        return False


def mounts_below(directory: Path) -> list[Path]:
    """Mount points in or below the directory, the deepest first."""
    found = []
    prefix = f"{directory}/"
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:
        for line in table:
            point = line.split(" ")[4].encode().decode("unicode_escape")
            if point.startswith(prefix) or point == str(directory):
                found.append(Path(point))
    return sorted(found, key=lambda path: len(path.parts), reverse=True)


def _mount(source: str, target: Path, kind: str, flags: int, options: str) -> None:
    result = _libc.mount(os.fsencode(source), os.fsencode(target), kind.encode(), flags, options.encode())
    if result != 0:
        _raise(str(target))


def _raise(path: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), path)
