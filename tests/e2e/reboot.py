"""What a reboot does to a cluster, without one: everything dies at once, and the kernel forgets what it had."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from knarr.assembly import settings
from tests.e2e import deaths
from tests.e2e.cluster import Cluster

CGROUPS = Path("/sys/fs/cgroup")
GONE_SECONDS = 20.0


def crash(cluster: Cluster) -> None:
    """Every process of the cluster and of its pods is killed; what the kernel holds (mounts, namespaces) stays."""
    victims = {*deaths.pids(cluster), *deaths.monitors(cluster), *_members(cluster)}
    for pid in victims:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # its parent took it along
    end = time.monotonic() + GONE_SECONDS
    while left := [*deaths.monitors(cluster), *_members(cluster)]:
        assert time.monotonic() < end, left
        for pid in left:  # what was started in between
            deaths.kill([pid]) if Path(f"/proc/{pid}").exists() else None
        time.sleep(0.05)  # an outside view has to look again


def forget(cluster: Cluster) -> None:
    """What only the kernel and /run held is gone, as after a boot: mounts, bridge, rules, groups, /run/knarr/NAME."""
    own = settings.default(cluster.name, is_root=True)
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        target = line.split(" ")[4]
        if f"/knarr/{cluster.name}/" in target:
            subprocess.run(["umount", "--lazy", target], check=True)
    shutil.rmtree(own.run_dir)
    subprocess.run(["ip", "link", "delete", own.bridge], check=True)
    subprocess.run(["nft", "delete", "table", "inet", f"knarr-{cluster.name}"], capture_output=True, check=False)
    for group in _groups(cluster):
        group.rmdir()


def _members(cluster: Cluster) -> list[int]:
    """The processes in the cluster's control groups."""
    found = set()
    for group in _groups(cluster):
        found |= {int(word) for word in (group / "cgroup.procs").read_text().split()}
    return sorted(found)


def _groups(cluster: Cluster) -> Iterator[Path]:
    """The cluster's control groups, the deepest first."""
    tops = [path for pattern in ("*", "*/*") for path in CGROUPS.glob(pattern) if path.name == f"knarr-{cluster.name}"]
    for top in tops:
        for directory, _, _ in os.walk(top, topdown=False):
            yield Path(directory)
