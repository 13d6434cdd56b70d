"""CRI's resources → limits of a cgroup. Pure."""

from knarr.cri.messages.config import LinuxContainerResources
from knarr.runtime.cgroups import Resources


def limits(wanted: LinuxContainerResources) -> Resources:
    """`pids.max` among the unified limits is said in cgroup v1's words where that is what the machine has."""
    unified = dict(wanted.unified)
    pids = unified.pop("pids.max", "")
    return Resources(
        pids_limit=int(pids) if pids.isascii() and pids.isdigit() else 0,
        cpu_shares=wanted.cpu_shares,
        cpu_quota=wanted.cpu_quota,
        cpu_period=wanted.cpu_period,
        memory_limit=wanted.memory_limit_in_bytes,
        memory_swap_limit=wanted.memory_swap_limit_in_bytes,
        cpuset_cpus=wanted.cpuset_cpus,
        cpuset_mems=wanted.cpuset_mems,
        unified=unified,
    )
