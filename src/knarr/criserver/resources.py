"""CRI's resources → limits of a cgroup, and the OOM score that this process may give. Pure but for reading itself."""

from pathlib import Path
from typing import Final

from knarr.cri.messages.config import LinuxContainerResources
from knarr.runtime.cgroups import Resources

_CAP_SYS_RESOURCE: Final = 24


def limits(wanted: LinuxContainerResources) -> Resources:
    return Resources(
        cpu_shares=wanted.cpu_shares,
        cpu_quota=wanted.cpu_quota,
        cpu_period=wanted.cpu_period,
        memory_limit=wanted.memory_limit_in_bytes,
        memory_swap_limit=wanted.memory_swap_limit_in_bytes,
        cpuset_cpus=wanted.cpuset_cpus,
        cpuset_mems=wanted.cpuset_mems,
        unified=wanted.unified,
    )


def oom_score(wanted: int, status: str, own_score: int) -> int:
    """The score asked for, raised to our own where the kernel would refuse: lowering it needs CAP_SYS_RESOURCE."""
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
    may_lower = bool(int(effective, 16) >> _CAP_SYS_RESOURCE & 1)
    return wanted if may_lower else max(wanted, own_score)


def allowed_oom_score(wanted: int) -> int:
    """`oom_score` for this process."""
    status = Path("/proc/self/status").read_text()
    return oom_score(wanted, status, int(Path("/proc/self/oom_score_adj").read_text()))
