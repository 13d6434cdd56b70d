"""Reads what the machine has left of memory, disk, inodes and process ids: the signals that eviction.py judges."""

import os
from pathlib import Path

from knarr.kubelet.eviction import Signal


def signals(root: Path, images: Path | None = None) -> dict[str, Signal]:
    """What the machine says now; `root` is on the file system that pods write to, `images` on that of the images."""
    with open("/proc/meminfo", encoding="ascii") as file:
        memory = {line.split(":")[0]: int(line.split()[1]) << 10 for line in file}
    found = {"memory.available": Signal(memory.get("MemAvailable", memory["MemFree"]), memory["MemTotal"])}
    found |= _disk("nodefs", root)
    if images is not None and images.exists():
        found |= _disk("imagefs", images)
    return found | _pids()


def _disk(name: str, path: Path) -> dict[str, Signal]:
    disk = os.statvfs(path)
    found = {f"{name}.available": Signal(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)}
    if disk.f_files:
        found[f"{name}.inodesFree"] = Signal(disk.f_favail, disk.f_files)
    return found


def _pids() -> dict[str, Signal]:
    limit = int(Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii"))
    running = int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].split("/")[1])
    return {"pid.available": Signal(limit - running, limit)}
