"""What the kernel tells of a container's processes: open files, sockets, and the limit of open files of the first.

A process that ends meanwhile counts for nothing.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Processes:
    """`files_max` is the soft limit of open files of the container's first process; None if it has none, or is gone."""

    descriptors: int = 0
    sockets: int = 0
    files_max: int | None = None


def read(pids: Iterable[int], first: int, proc: Path = _PROC) -> Processes:
    opened = [target for pid in pids for target in _opened(proc / str(pid) / "fd")]
    sockets = sum(target.startswith("socket:") for target in opened)
    return Processes(len(opened), sockets, _files_max(proc / str(first) / "limits"))


def _opened(directory: Path) -> list[str]:
    """What each descriptor leads to."""
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    found = []
    for name in names:
        try:
            found.append(os.readlink(directory / name))
        except OSError:
            continue
    return found


def _files_max(file: Path) -> int | None:
    """Of the line "Max open files            1024                 4096                 files"."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    soft = next((line.split()[3] for line in lines if line.startswith("Max open files")), "unlimited")
    return int(soft) if soft.isdigit() else None
