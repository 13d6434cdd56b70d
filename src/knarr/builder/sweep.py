"""Take away what builds of a process that was killed left behind: mounts, mount points, secrets, drafts of snapshots.

Runs once, before the first build. Containers are the runtime's to find again; whoever recovers it deletes those that
no record owns.
"""

from pathlib import Path

from knarr.base import linux
from knarr.base.removal import drop_tree
from knarr.builder.layering import SNAPSHOT_PREFIX
from knarr.images import mounting
from knarr.images.overlay import OverlaySnapshots


def sweep(run_dir: Path, snapshots: OverlaySnapshots) -> None:
    """Everything below `run_dir`, and snapshots that were being built. Nothing is removed below a mount that stays."""
    for place in linux.mounts_below(run_dir):
        mounting.unmount(place)
    if linux.mounts_below(run_dir):
        return
    drop_tree(run_dir)
    for key in reversed(snapshots.keys()):
        if key.startswith(SNAPSHOT_PREFIX) and not snapshots.is_committed(key):
            snapshots.remove(key)
