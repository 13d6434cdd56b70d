"""What each volume and each container's logs of a pod take, beside what their file system has: for /stats/summary.

Walks directories, so it belongs beside the event loop. Which pod is past a limit is local_storage.py's.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from knarr.kinds.lens.pod import Pod
from knarr.kubelet import local_storage


@dataclass(frozen=True, slots=True)
class Taken:
    """Bytes and inodes of one directory, and of the file system that it lies on."""

    used: int = 0
    inodes_used: int = 0
    capacity: int = 0
    available: int = 0
    inodes: int = 0
    inodes_free: int = 0


@dataclass(frozen=True, slots=True)
class PodFigures:
    """By the volume's name, and by the container's; which volumes lie in memory, and take nothing of a disk."""

    volumes: Mapping[str, Taken] = field(default_factory=dict)
    in_memory: frozenset[str] = frozenset()
    logs: Mapping[str, Taken] = field(default_factory=dict)


def of_pod(pod: Pod, volumes: Path, memory: Path, logs: Path) -> PodFigures:
    """`volumes` and `memory` are where a pod's volumes may lie; one that lies on the host or in an image has none."""
    found = {
        volume.name: taken
        for volume in pod.spec.volumes
        for directory in (volumes / volume.name, memory / volume.name)
        if (taken := of_directory(directory)) is not None
    }
    told = {
        container.name: taken
        for container in (*pod.spec.init_containers, *pod.spec.containers)
        if (taken := of_directory(logs / container.name)) is not None
    }
    in_memory = {
        volume.name
        for volume in pod.spec.volumes
        if (memory / volume.name).is_dir() or (volume.empty_dir is not None and volume.empty_dir.medium == "Memory")
    }
    return PodFigures(found, frozenset(in_memory), told)


def of_directory(directory: Path) -> Taken | None:
    """None for the absent."""
    try:
        disk = os.statvfs(directory)
    except OSError:
        return None
    used, inodes = local_storage.used(directory)
    return Taken(
        used=used,
        inodes_used=inodes,
        capacity=disk.f_blocks * disk.f_frsize,
        available=disk.f_bavail * disk.f_frsize,
        inodes=disk.f_files,
        inodes_free=disk.f_favail,
    )
