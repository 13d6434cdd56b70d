"""emptyDir: a fresh directory (or tmpfs, medium Memory) that lives as long as its pod. Spec: docs "Volumes"."""

import os
from pathlib import Path

from knarr.base.errors import Unimplemented
from knarr.kinds.lens.volumes import EmptyDirVolumeSource
from knarr.kubelet import mounting, quantities


def prepare(directory: Path, source: EmptyDirVolumeSource, *, gid: int | None, memory_max: int = 0) -> Path:
    """Make the directory, or find it again after a restart; everyone may write, as upstream lets them. One in memory
    is no larger than `memory_max`, the pod's own limit: what it holds counts against that."""
    if source.medium.startswith("HugePages"):
        raise Unimplemented(f"emptyDir medium {source.medium}: huge pages are not supported on this node")
    exists = directory.is_dir()
    directory.mkdir(parents=True, exist_ok=True)
    if source.medium == "Memory" and not mounting.is_mounted(directory):
        wanted = quantities.whole(source.size_limit) if source.size_limit else 0
        size = min((bound for bound in (wanted, memory_max) if bound > 0), default=0)
        mounting.mount_tmpfs(directory, f"size={size}" if size else "")
        exists = False
    if not exists:
        if gid is not None:
            os.chown(directory, -1, gid)
        # A tmpfs is sticky as the kernel makes it, and upstream leaves that; directories of a subPath take it over.
        sticky = 0o1000 if source.medium == "Memory" else 0
        os.chmod(directory, (0o2777 if gid is not None else 0o777) | sticky)
    return directory
