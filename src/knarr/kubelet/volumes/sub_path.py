"""subPath: mount one file or directory inside a volume without letting a link lead out of it.

The path is opened below the volume (openat2), missing directories are made one by one, and the descriptor is what gets
bind-mounted: a link swapped in later has no effect (CVE-2017-1002101, CVE-2021-25741; TRUST SEC-28).
"""

import os
import stat
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from knarr.base.errors import Invalid
from knarr.kubelet import mounting

Bind = Callable[[int, Path], None]


def prepare(volume: Path, sub_path: str, target: Path, bind: Bind = mounting.bind_fd) -> Path:
    """Bind `volume/sub_path` at `target` and return it; Invalid for a path that leads out."""
    _clear(target)
    try:
        fd = _open(volume, sub_path)
    except OSError as error:
        raise Invalid(f'failed to prepare subPath "{sub_path}": {error.strerror}') from error
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            target.mkdir()
        else:
            target.touch()
        bind(fd, target)
    finally:
        os.close(fd)
    return target


def _clear(target: Path) -> None:
    """Let go of what a container's earlier run had there: each restart would put a mount on top, and a file may have
    become a directory."""
    for point in mounting.mounts_below(target):
        mounting.unmount(point)
    if target.is_dir():
        target.rmdir()
    target.unlink(missing_ok=True)


def _open(volume: Path, sub_path: str) -> int:
    """A descriptor of the path; directories that are missing are made with the volume's mode."""
    root = os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            return mounting.open_beneath(root, sub_path, os.O_PATH)
        except FileNotFoundError:
            _make(root, sub_path)
            return mounting.open_beneath(root, sub_path, os.O_PATH)
    finally:
        os.close(root)


def _make(root: int, sub_path: str) -> None:
    mode = stat.S_IMODE(os.fstat(root).st_mode)
    parent = os.dup(root)
    try:
        for name in PurePosixPath(sub_path).parts:
            try:
                child = mounting.open_beneath(parent, name, os.O_PATH | os.O_DIRECTORY)
            except FileNotFoundError:
                os.mkdir(name, mode, dir_fd=parent)
                child = mounting.open_beneath(parent, name, os.O_PATH | os.O_DIRECTORY)
                os.chmod(f"/proc/self/fd/{child}", mode)
            os.close(parent)
            parent = child
    finally:
        os.close(parent)
