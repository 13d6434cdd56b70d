"""The few things about mounts that volumes need: bind, tmpfs, unmount, and safe opening below a directory.

Decides nothing; the system calls are base/linux.py's. `open_beneath` follows no link out of a volume, whoever swaps it
when (TRUST SEC-28).
"""

import errno
import os
from pathlib import Path
from typing import Final

from knarr.base import linux

_BENEATH: Final = linux.RESOLVE_BENEATH | linux.RESOLVE_NO_MAGICLINKS


def open_beneath(directory_fd: int, path: str, flags: int) -> int:
    """A descriptor of `path` below the directory; OSError (EXDEV if it would lead out)."""
    return linux.openat2(directory_fd, path, flags, _BENEATH)


def bind_fd(fd: int, target: Path) -> None:
    """Bind-mount what the descriptor stands for, with what is mounted below it, now or later. To take that off again
    takes nothing off there, as it would where mounts are shared (which is how distributions have them): not even for
    the moment between two calls, in which a kubelet may be killed."""
    try:
        tree = linux.clone(fd)
    except OSError as error:
        if error.errno != errno.ENOSYS:
            raise
        linux.mount(f"/proc/self/fd/{fd}", target, None, linux.MS_BIND | linux.MS_REC)
        linux.mount("", target, None, linux.MS_SLAVE | linux.MS_REC)
        return
    try:
        linux.attach(tree, target)
    finally:
        os.close(tree)


def bind_shared_fd(fd: int, target: Path) -> None:
    """Bind-mount what the descriptor stands for, for whoever shall make mounts there that the host sees; what is
    mounted below it already does not come along."""
    linux.mount(f"/proc/self/fd/{fd}", target, None, linux.MS_BIND)


def mount_tmpfs(target: Path, options: str) -> None:
    linux.mount("tmpfs", target, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, options)


def unmount(target: Path) -> None:
    """Unmount lazily; what is not mounted is fine."""
    linux.umount(target)


def is_mounted(target: Path) -> bool:
    """Whether something is mounted exactly there."""
    try:
        return os.stat(target).st_dev != os.stat(target.parent).st_dev
    except FileNotFoundError:
        return False


def mounts_below(directory: Path) -> list[Path]:
    """Mount points in or below the directory, the deepest first."""
    return linux.mounts_below(directory)
