"""Further figures of a control group, of both versions: what metrics tell beyond the statistics of the CRI.

Read on demand, for whoever scrapes; `Cgroups.usage` has the few that the kubelet asks for all the time. A file that
this kernel does not have reads as nothing. Not here: which name a figure has outside (criserver/containers/
metric_rows.py). Shares stand for what version 2 calls weight; 0 is "no limit".
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from knarr.runtime.cgroups import Cgroups

_TICK_NANOSECONDS: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_NO_LIMIT: Final = 1 << 60
"""v1 writes no limit as a number near 2^63."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    """Times in nanoseconds; period and quota in microseconds, quota None without one."""

    user: int = 0
    system: int = 0
    periods: int = 0
    throttled_periods: int = 0
    throttled: int = 0
    period: int = 0
    quota: int | None = None
    shares: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """In bytes; failures are counts. `own` faults leave out the groups below."""

    cache: int = 0
    mapped_file: int = 0
    kernel: int = 0
    swap: int = 0
    usage_max: int = 0
    failures: int = 0
    own_faults: int = 0
    own_major_faults: int = 0
    faults: int = 0
    major_faults: int = 0
    limit: int = 0
    reservation: int = 0
    swap_limit: int = 0


@dataclass(frozen=True, slots=True)
class Disk:
    """What went to and from one device ("8:0"), in bytes and requests."""

    device: str
    read_bytes: int = 0
    written_bytes: int = 0
    reads: int = 0
    writes: int = 0


@dataclass(frozen=True, slots=True)
class HugePages:
    """Of one size ("2MB"), in bytes."""

    size: str
    usage: int
    usage_max: int


@dataclass(frozen=True, slots=True)
class Pressure:
    """Microseconds that some, and that all, of the group's tasks waited for a resource: cpu, memory or io."""

    resource: str
    some: int
    full: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    cpu: Cpu
    memory: Memory
    disks: tuple[Disk, ...] = ()
    huge_pages: tuple[HugePages, ...] = ()
    pressure: tuple[Pressure, ...] = ()
    processes: int = 0
    threads: int = 0
    threads_max: int = 0
    oom_kills: int = 0


def read(cgroups: Cgroups, path: str) -> Figures:
    """All that the group tells; one that is gone tells zeros."""
    group, is_v2 = path.strip("/"), cgroups.is_v2
    pids = cgroups.root / ("" if is_v2 else "pids") / group
    return Figures(
        cpu=_cpu_v2(cgroups.root / group) if is_v2 else _cpu_v1(cgroups.root, group),
        memory=_memory_v2(cgroups.root / group) if is_v2 else _memory_v1(cgroups.root / "memory" / group),
        disks=_disks_v2(cgroups.root / group) if is_v2 else _disks_v1(cgroups.root / "blkio" / group),
        huge_pages=_huge_pages(cgroups.root / ("" if is_v2 else "hugetlb") / group, is_v2=is_v2),
        pressure=_pressure(cgroups.root / group) if is_v2 else (),
        processes=len(_words(pids / "cgroup.procs")),
        threads=_number(pids / "pids.current"),
        threads_max=_number(pids / "pids.max"),
        oom_kills=cgroups.oom_kills(path),
    )


def _cpu_v1(root: Path, group: str) -> Cpu:
    times, directory = _table(root / "cpuacct" / group / "cpuacct.stat"), root / "cpu" / group
    bandwidth, quota = _table(directory / "cpu.stat"), _number(directory / "cpu.cfs_quota_us")
    return Cpu(
        user=times.get("user", 0) * _TICK_NANOSECONDS,
        system=times.get("system", 0) * _TICK_NANOSECONDS,
        periods=bandwidth.get("nr_periods", 0),
        throttled_periods=bandwidth.get("nr_throttled", 0),
        throttled=bandwidth.get("throttled_time", 0),
        period=_number(directory / "cpu.cfs_period_us"),
        quota=quota if quota > 0 else None,
        shares=_number(directory / "cpu.shares"),
    )


def _cpu_v2(directory: Path) -> Cpu:
    table = _table(directory / "cpu.stat")
    quota, period = (*(_words(directory / "cpu.max") or ["max"]), "0")[:2]
    weight = _number(directory / "cpu.weight")
    return Cpu(
        user=table.get("user_usec", 0) * 1000,
        system=table.get("system_usec", 0) * 1000,
        periods=table.get("nr_periods", 0),
        throttled_periods=table.get("nr_throttled", 0),
        throttled=table.get("throttled_usec", 0) * 1000,
        period=int(period),
        quota=int(quota) if quota != "max" else None,
        shares=2 + (weight - 1) * 262142 // 9999 if weight else 0,
    )


def _memory_v1(directory: Path) -> Memory:
    table, both = _table(directory / "memory.stat"), _number(directory / "memory.memsw.limit_in_bytes")
    return Memory(
        cache=table.get("total_cache", 0),
        mapped_file=table.get("total_mapped_file", 0),
        kernel=_number(directory / "memory.kmem.usage_in_bytes"),
        swap=table.get("total_swap", 0),
        usage_max=_number(directory / "memory.max_usage_in_bytes"),
        failures=_number(directory / "memory.failcnt"),
        own_faults=table.get("pgfault", 0),
        own_major_faults=table.get("pgmajfault", 0),
        faults=table.get("total_pgfault", 0),
        major_faults=table.get("total_pgmajfault", 0),
        limit=_limit(_number(directory / "memory.limit_in_bytes")),
        reservation=_limit(_number(directory / "memory.soft_limit_in_bytes")),
        swap_limit=_limit(both),
    )


def _memory_v2(directory: Path) -> Memory:
    table = _table(directory / "memory.stat")
    faults, major = table.get("pgfault", 0), table.get("pgmajfault", 0)
    return Memory(
        cache=table.get("file", 0),
        mapped_file=table.get("file_mapped", 0),
        kernel=table.get("kernel", 0),
        swap=_number(directory / "memory.swap.current"),
        usage_max=_number(directory / "memory.peak"),
        failures=_table(directory / "memory.events").get("max", 0),
        own_faults=faults,
        own_major_faults=major,
        faults=faults,
        major_faults=major,
        limit=_number(directory / "memory.max"),
        reservation=_number(directory / "memory.low"),
        swap_limit=_number(directory / "memory.swap.max"),
    )


def _disks_v1(directory: Path) -> tuple[Disk, ...]:
    """Of the lines "8:0 Read 4096" of two files."""
    counted: dict[tuple[str, str], int] = {}
    for kind, name in (("bytes", "io_service_bytes"), ("requests", "io_serviced")):
        for line in _lines(directory / f"blkio.throttle.{name}_recursive"):
            device, operation, count = (*line.split(), "", "")[:3]
            if ":" in device:
                counted[device, f"{operation} {kind}"] = int(count)
    keys = ("Read bytes", "Write bytes", "Read requests", "Write requests")
    return tuple(
        Disk(device, *(counted.get((device, key), 0) for key in keys))
        for device in sorted({device for device, _ in counted})
    )


def _disks_v2(directory: Path) -> tuple[Disk, ...]:
    """Of the lines "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0".

    Older kernels end no line of a device that has no figures: the last of a line's names is that of the figures.
    """
    found: list[Disk] = []
    for line in _lines(directory / "io.stat"):
        words = line.split()
        names = [word for word in words if "=" not in word]
        counts = dict(word.split("=", 1) for word in words if "=" in word)
        found.extend(Disk(name) for name in names[:-1])
        for device in names[-1:]:
            found.append(Disk(device, *(int(counts.get(key, 0)) for key in ("rbytes", "wbytes", "rios", "wios"))))
    return tuple(found)


def _huge_pages(directory: Path, *, is_v2: bool) -> tuple[HugePages, ...]:
    usage, most = (".current", ".max_usage") if is_v2 else (".usage_in_bytes", ".max_usage_in_bytes")
    files = sorted(file for file in directory.glob(f"hugetlb.*{usage}") if ".rsvd" not in file.name)
    sizes = [file.name.removeprefix("hugetlb.").removesuffix(usage) for file in files]
    # Version 2 keeps no highest usage of them.
    return tuple(
        HugePages(s, _number(f), _number(f.with_name(f"hugetlb.{s}{most}"))) for s, f in zip(sizes, files, strict=True)
    )


def _pressure(directory: Path) -> tuple[Pressure, ...]:
    found = []
    for resource in ("cpu", "memory", "io"):
        totals = {
            line.split()[0]: int(line.rpartition("total=")[2])
            for line in _lines(directory / f"{resource}.pressure")
            if "total=" in line
        }
        if totals:
            found.append(Pressure(resource, totals.get("some", 0), totals.get("full", 0)))
    return tuple(found)


def _limit(number: int) -> int:
    return number if 0 < number < _NO_LIMIT else 0


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:  # not there, or (pressure, when it is switched off) not supported
        return []


def _words(file: Path) -> list[str]:
    return [word for line in _lines(file) for word in line.split()]


def _number(file: Path) -> int:
    """0 also for "max" and for what is not there."""
    words = _words(file)
    return int(words[0]) if words and words[0].lstrip("-").isdigit() else 0


def _table(file: Path) -> dict[str, int]:
    pairs = (line.split() for line in _lines(file))
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}
