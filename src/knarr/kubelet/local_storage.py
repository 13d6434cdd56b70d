"""Local disk of single pods: how much one uses, and whether that is past its own limits.

`excess` is pure: it judges a container's ephemeral-storage limit (writable layer and logs), the sum of all of them, and
the sizeLimit of an emptyDir on disk, in upstream's words. `measured` walks the directories; it follows no link and
stays on their file system. Spec: docs "Local ephemeral storage".
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.volumes import Volume
from knarr.kubelet import quantities
from knarr.kubelet.eviction import IMMEDIATE_GRACE_SECONDS
from knarr.kubelet.standing import Stop

RESOURCE = "ephemeral-storage"
BLOCK_BYTES = 512
"""The unit of st_blocks, whatever the file system's own block is."""


@dataclass(frozen=True, slots=True)
class PodDisk:
    """Bytes by volume and by container, and all inodes; writable layers come from the runtime."""

    volumes: Mapping[str, int] = field(default_factory=dict)
    logs: Mapping[str, int] = field(default_factory=dict)
    inodes: int = 0


def is_limited(pod: Pod) -> bool:
    """Whether the pod has a limit that its use of the disk could pass."""
    has_limit = any(RESOURCE in container.resources.limits for container in pod.spec.containers)
    return has_limit or any(_size_limit(volume) for volume in pod.spec.volumes)


def excess(pod: Pod, used: PodDisk, layers: Mapping[str, int]) -> Stop | None:
    """Why the pod must be evicted for what it wrote; `layers` are bytes in writable layers by container."""
    for volume in pod.spec.volumes:
        limit = _size_limit(volume)
        if limit and used.volumes.get(volume.name, 0) > quantities.whole(limit):
            return _evicted(f'Usage of EmptyDir volume "{volume.name}" exceeds the limit "{limit}". ')
    limits = {c.name: c.resources.limits.get(RESOURCE, "") for c in pod.spec.containers}
    if limits and all(limits.values()):
        total = sum(quantities.whole(limit) for limit in limits.values())
        whole = sum(layers.values()) + sum(used.logs.values()) + sum(used.volumes.values())
        if whole > total:
            named = f"{total >> 20}Mi" if total % (1 << 20) == 0 else str(total)
            return _evicted(f"Pod ephemeral local storage usage exceeds the total limit of containers {named}. ")
    for name, limit in limits.items():
        if limit and layers.get(name, 0) + used.logs.get(name, 0) > quantities.whole(limit):
            return _evicted(f'Container {name} exceeded its local ephemeral storage limit "{limit}". ')
    return None


def _evicted(message: str) -> Stop:
    return Stop("Evicted", message, IMMEDIATE_GRACE_SECONDS)


def _size_limit(volume: Volume) -> str:
    """Of an emptyDir on disk; one in memory is a tmpfs of that size."""
    source = volume.empty_dir
    if source is None or source.medium == "Memory" or not source.size_limit:
        return ""
    return source.size_limit


def measured(pod: Pod, volumes: Path, logs: Path) -> PodDisk:
    """What the pod's volumes and logs take now. Blocks for as long as the disk takes."""
    by_volume, by_container, inodes = {}, {}, 0
    for volume in pod.spec.volumes:
        size, count = used(volumes / volume.name)
        by_volume[volume.name] = size
        inodes += count
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        size, count = used(logs / container.name)
        by_container[container.name] = size
        inodes += count
    return PodDisk(by_volume, by_container, inodes)


def used(directory: Path) -> tuple[int, int]:
    """(bytes, inodes) of everything below a directory, on its own file system; nothing for the absent."""
    try:
        device = os.lstat(directory).st_dev
    except OSError:
        return 0, 0
    size = inodes = 0
    seen: set[int] = set()
    ahead = [os.fspath(directory)]
    while ahead:
        try:
            entries = list(os.scandir(ahead.pop()))
        except OSError:
            continue
        for entry in entries:
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError:
                continue  # it has gone meanwhile
            if found.st_dev != device or (found.st_nlink > 1 and found.st_ino in seen):
                continue
            seen.add(found.st_ino)
            size, inodes = size + found.st_blocks * BLOCK_BYTES, inodes + 1
            if entry.is_dir(follow_symlinks=False):
                ahead.append(entry.path)
    return size, inodes
