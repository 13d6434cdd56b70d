"""What the kernel tells of a container's processes: open files, sockets, and the limit of open files of the first.

A process that ends meanwhile counts for nothing.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

_PROC = Path("/proc")
MOST = 1_000_000
"""Descriptors that are counted: a container that holds more is not worth a scrape of minutes."""


@dataclass(frozen=True, slots=True)
class Processes:
    """`files_max` is the soft limit of open files of the container's first process; None if it has none, or is gone."""

    descriptors: int = 0
    sockets: int = 0
    files_max: int | None = None


def read(pids: Iterable[int], first: int, proc: Path = _PROC, most: int = MOST) -> Processes:
    opened = (target for pid in pids for target in _opened(proc / str(pid) / "fd"))
    descriptors = sockets = 0
    for target in islice(opened, most):
        descriptors += 1
        sockets += target.startswith("socket:")
    return Processes(descriptors, sockets, _files_max(proc / str(first) / "limits"))


def _opened(directory: Path) -> Iterator[str]:
    """What each descriptor leads to, one by one: all of them may be too many to hold."""
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                try:
                    target = os.readlink(entry.path)
                except OSError:
                    continue
                yield target
    except OSError:
        return


def _files_max(file: Path) -> int | None:
    """Of the line "Max open files            1024                 4096                 files"."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    soft = next((line.split()[3] for line in lines if line.startswith("Max open files")), "unlimited")
    return int(soft) if soft.isdigit() else None
