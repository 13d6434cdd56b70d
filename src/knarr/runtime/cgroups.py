"""Control groups, version 1 (also hybrid) and 2: limits in, figures out.

A `Cgroups` knows which version a machine has and names the files; a cgroup path (`/knarr-x/pod1/c1`) is the same in
both. The runtime (crun, runc) makes a container's own group; this file makes the groups above it, sets limits on
groups that exist, reads usage, and removes groups. Figures are the kernel's; working set = usage less inactive file
pages, as the kubelet counts it.
"""

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
CONTROLLERS_V1: Final = ("cpu", "cpuacct", "memory", "pids", "devices", "freezer", "blkio", "cpuset", "systemd")
MEMORY_V1: Final = "memory.limit_in_bytes"
MEMORY_AND_SWAP_V1: Final = "memory.memsw.limit_in_bytes"
CONTROLLERS_V2: Final = ("cpu", "memory", "pids", "io", "cpuset")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Limits; 0 and "" mean not set. Quota and period in microseconds, memory in bytes."""

    cpu_shares: int = 0
    cpu_quota: int = 0
    cpu_period: int = 0
    memory_limit: int = 0
    memory_swap_limit: int = 0
    pids_limit: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    unified: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """Figures of one group. CPU in nanoseconds since its creation, memory in bytes."""

    cpu_nanoseconds: int
    memory_usage: int
    memory_working_set: int
    memory_rss: int
    page_faults: int
    major_page_faults: int
    pids: int
    memory_limit: int


def weight_of_shares(shares: int) -> int:
    """cgroup v2's cpu.weight (1…10000) of v1's shares (2…262144)."""
    return 1 + ((min(max(shares, 2), 262144) - 2) * 9999) // 262142


def limits_v1(resources: Resources) -> Iterator[tuple[str, str, str]]:
    """(controller, file, content) for each limit that is set; memory's are memory_limits_v1's."""
    if resources.cpu_shares:
        yield "cpu", "cpu.shares", str(resources.cpu_shares)
    if resources.cpu_period:
        yield "cpu", "cpu.cfs_period_us", str(resources.cpu_period)
    if resources.cpu_quota:
        yield "cpu", "cpu.cfs_quota_us", str(resources.cpu_quota)
    if resources.pids_limit:
        yield "pids", "pids.max", str(resources.pids_limit)
    if resources.cpuset_cpus:
        yield "cpuset", "cpuset.cpus", resources.cpuset_cpus
    if resources.cpuset_mems:
        yield "cpuset", "cpuset.mems", resources.cpuset_mems


def memory_limits_v1(resources: Resources, both_now: int | None) -> list[tuple[str, str]]:
    """(file, content) in the order that the kernel takes: it refuses a limit of memory above that of memory and swap.

    `both_now` is the limit of memory and swap that stands, None where the kernel does not count swap. A limit of
    memory that outgrows it takes it along, though nobody named swap.
    """
    memory, both = resources.memory_limit, resources.memory_swap_limit
    if both_now is None:
        both = 0
    elif not both and _is_above(memory, both_now):
        both = memory
    first = [(MEMORY_V1, str(memory))] if memory else []
    second = [(MEMORY_AND_SWAP_V1, str(both))] if both else []
    return second + first if both_now is not None and _is_above(both, both_now) else first + second


def _is_above(limit: int, other: int) -> bool:
    """-1 is no limit."""
    return limit < 0 or limit > other


def limits_v2(resources: Resources) -> Iterator[tuple[str, str]]:
    """(file, content) for each limit that is set."""
    if resources.cpu_shares:
        yield "cpu.weight", str(weight_of_shares(resources.cpu_shares))
    if resources.cpu_quota:
        quota = str(resources.cpu_quota) if resources.cpu_quota > 0 else "max"
        yield "cpu.max", f"{quota} {resources.cpu_period or 100000}"
    if resources.memory_limit:
        yield "memory.max", str(resources.memory_limit) if resources.memory_limit > 0 else "max"
    if resources.pids_limit:
        yield "pids.max", str(resources.pids_limit)
    if resources.cpuset_cpus:
        yield "cpuset.cpus", resources.cpuset_cpus
    if resources.cpuset_mems:
        yield "cpuset.mems", resources.cpuset_mems
    yield from resources.unified.items()


class Cgroups:
    """The control groups of this machine, or of a test's directory laid out alike."""

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.is_v2 = (root / "cgroup.controllers").exists()
        self.is_hybrid = not self.is_v2 and (root / "unified").is_dir()
        self._v1 = tuple(name for name in CONTROLLERS_V1 if (root / name).is_dir())

    def create(self, path: str) -> None:
        """Make the group and those above it, with the controllers that limits need."""
        if self.is_v2:
            group = self.root
            for part in path.strip("/").split("/"):
                _enable_controllers(group)
                group = group / part
                group.mkdir(exist_ok=True)
            return
        for controller in self._v1:
            group = self.root / controller
            for part in path.strip("/").split("/"):
                above, group = group, group / part
                if not group.is_dir():
                    group.mkdir(exist_ok=True)
                    if controller == "cpuset":
                        _inherit_cpuset(above, group)

    def limit(self, path: str, resources: Resources) -> None:
        """Write the limits. Raises OSError with the kernel's reason."""
        if self.is_v2:
            for name, content in limits_v2(resources):
                (self.root / path.strip("/") / name).write_text(content)
            return
        memory = self._memory(path)
        both = memory / MEMORY_AND_SWAP_V1
        both_now = _number(both) if both.exists() else None
        files = [(self.root / c / path.strip("/") / name, content) for c, name, content in limits_v1(resources)]
        files += [(memory / name, content) for name, content in memory_limits_v1(resources, both_now)]
        for target, content in files:
            if target.exists():
                target.write_text(content)

    def enter(self, path: str) -> None:
        """v2 alone: make the group and put this process into it."""
        self.create(path)
        (self.root / path.strip("/") / "cgroup.procs").write_text("0")

    def bounds_memory_of(self, path: str) -> bool:
        """v2 alone: whether the group that exists was given the memory controller (another may hold it in v1)."""
        try:
            return "memory" in (self.root / path.strip("/") / "cgroup.controllers").read_text().split()
        except FileNotFoundError:
            return False

    def bounds_swap(self) -> bool:
        """v2 alone: whether the kernel counts what a group swaps (any group but the root's has the file then)."""
        return self.is_v2 and any(True for _ in self.root.glob("*/memory.swap.max"))

    def task_files(self, path: str) -> tuple[Path, ...]:
        """v1 alone: the `tasks` files that a thread writes itself into."""
        return tuple(self.root / controller / path.strip("/") / "tasks" for controller in self._v1)

    def threads_file(self, membership: str) -> Path | None:
        """Where a thread of that /proc/PID/cgroup writes its number to stay where it is; None if none is seen."""
        for line in membership.splitlines():
            _, controllers, path = line.split(":", 2)
            if self.is_v2 and not controllers:
                return self.root / path.strip("/") / "cgroup.threads"
            if not self.is_v2 and controllers in self._v1:
                return self.root / controllers / path.strip("/") / "tasks"
        return None

    def members(self, path: str) -> set[int]:
        """Pids of all in the group and below it."""
        top = self._groups(path)[:1]
        return {pid for group in top for directory, _, _ in os.walk(group) for pid in _pids(Path(directory))}

    def below(self, path: str) -> list[str]:
        """Paths of the groups directly in the group."""
        names = {entry.name for group in self._groups(path) for entry in group.iterdir() if entry.is_dir()}
        return [f"{path.rstrip('/')}/{name}" for name in sorted(names)]

    def kill(self, path: str) -> None:
        """SIGKILL everything in the group and below it."""
        for group in self._groups(path)[:1]:
            with contextlib.suppress(OSError):
                (group / "cgroup.kill").write_text("1")
                return
        for pid in self.members(path):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def remove(self, path: str) -> bool:
        """Remove the group and those below; False while something is still in it. Removing the absent succeeds."""
        is_gone = True
        for group in self._groups(path):
            for directory, _, _ in os.walk(group, topdown=False):
                try:
                    os.rmdir(directory)
                except FileNotFoundError:
                    continue
                except OSError:
                    is_gone = False
        return is_gone

    def oom_kills(self, path: str) -> int:
        """How often the kernel's OOM killer struck in the group; 0 if the group is gone."""
        name = "memory.events" if self.is_v2 else "memory.oom_control"
        return _table(self._memory(path) / name).get("oom_kill", 0)

    def usage(self, path: str) -> Usage | None:
        """Figures of the group; None if it is gone."""
        try:
            return self._usage_v2(path) if self.is_v2 else self._usage_v1(path)
        except OSError:  # ENODEV where the group goes between opening and reading
            return None

    def _usage_v1(self, path: str) -> Usage:
        memory = self._memory(path)
        table = _table(memory / "memory.stat")
        used = _number(memory / "memory.usage_in_bytes")
        return Usage(
            cpu_nanoseconds=_number(self.root / "cpuacct" / path.strip("/") / "cpuacct.usage"),
            memory_usage=used,
            memory_working_set=max(0, used - table.get("total_inactive_file", 0)),
            memory_rss=table.get("total_rss", 0),
            page_faults=table.get("total_pgfault", 0),
            major_page_faults=table.get("total_pgmajfault", 0),
            pids=_number(self.root / "pids" / path.strip("/") / "pids.current"),
            memory_limit=_number(memory / MEMORY_V1),
        )

    def _usage_v2(self, path: str) -> Usage:
        group = self.root / path.strip("/")
        table = _table(group / "memory.stat")
        used = _number(group / "memory.current")
        return Usage(
            cpu_nanoseconds=_table(group / "cpu.stat").get("usage_usec", 0) * 1000,
            memory_usage=used,
            memory_working_set=max(0, used - table.get("inactive_file", 0)),
            memory_rss=table.get("anon", 0),
            page_faults=table.get("pgfault", 0),
            major_page_faults=table.get("pgmajfault", 0),
            pids=_number(group / "pids.current"),
            memory_limit=_number(group / "memory.max"),
        )

    def _memory(self, path: str) -> Path:
        return (self.root if self.is_v2 else self.root / "memory") / path.strip("/")

    def _groups(self, path: str) -> list[Path]:
        if self.is_v2:
            return [self.root / path.strip("/")]
        names = (*(n for n in self._v1 if n == "pids"), *(n for n in self._v1 if n != "pids"))
        # crun and runc may have made the group in further hierarchies (net_cls, perf_event, …).
        others = (entry.name for entry in self.root.iterdir() if entry.name not in names) if self.root.is_dir() else ()
        return [group for name in (*names, *others) if (group := self.root / name / path.strip("/")).is_dir()]


def _enable_controllers(group: Path) -> None:
    """Give the groups below the controllers that this one has; asked for one that it lacks, the kernel gives none."""
    there = (group / "cgroup.controllers").read_text().split()
    wanted = [f"+{name}" for name in CONTROLLERS_V2 if name in there]
    control = group / "cgroup.subtree_control"
    try:
        control.write_text(" ".join(wanted))
    except OSError:  # one that cannot be given (cpu beside real-time threads) must not take the others along
        for word in wanted:
            with contextlib.suppress(OSError):
                control.write_text(word)


def _inherit_cpuset(above: Path, group: Path) -> None:
    for name in ("cpuset.cpus", "cpuset.mems"):
        with contextlib.suppress(OSError):
            (group / name).write_text((above / name).read_text())


def _pids(directory: Path) -> Iterable[int]:
    try:
        return [int(word) for word in (directory / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def _number(file: Path) -> int:
    text = file.read_text().strip()
    return 0 if text == "max" else int(text)


def _table(file: Path) -> dict[str, int]:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split() for line in lines)
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isascii() and pair[1].isdigit()}
