"""Take away what builds of a process that was killed left behind: mounts, mount points, secrets, drafts of snapshots.

Runs once, before the first build. Containers are the runtime's to find again; whoever recovers it deletes those that
no record owns.
"""

import shutil
from pathlib import Path

from knarr.builder.layering import SNAPSHOT_PREFIX
from knarr.images import mounting
from knarr.images.overlay import OverlaySnapshots


def sweep(run_dir: Path, snapshots: OverlaySnapshots) -> None:
    """Everything below `run_dir`, and snapshots that were being built. Nothing is removed below a mount that stays."""
    for place in mounted_below(run_dir, Path("/proc/self/mountinfo").read_text()):
        mounting.unmount(place)
    if mounted_below(run_dir, Path("/proc/self/mountinfo").read_text()):
        return
    shutil.rmtree(run_dir, ignore_errors=True)
    for key in reversed(snapshots.keys()):
        if key.startswith(SNAPSHOT_PREFIX) and not snapshots.is_committed(key):
            snapshots.remove(key)


def mounted_below(directory: Path, mountinfo: str) -> list[Path]:
    """Mount points below the directory, the latest first (proc(5), mountinfo: field 5, octal escapes)."""
    prefix = f"{directory}/"
    places = [line.split()[4].encode().decode("unicode_escape") for line in mountinfo.splitlines()]
    return [Path(place) for place in reversed(places) if place.startswith(prefix)]
