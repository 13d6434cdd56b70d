"""The metrics of a container and of a pod's links: cAdvisor's names, what each means, and where its values are.

One row per metric: name, help, type, the labels beyond those that all of its kind carry, and a function from what was
read to (values of those labels, number). No value means that this machine does not tell it. Numbers are whole: the
interface has no fractions. Not here: reading (cgroup_figures.py, process_figures.py, stats.py), the messages
(metrics.py). Names: the list that the CRI validation suite expects (KEP-2371).
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from knarr.cri.messages.enums import MetricType
from knarr.cri.messages.stats import ContainerStats
from knarr.criserver.containers.process_figures import Processes
from knarr.runtime.cgroup_figures import Disk, Figures

Values = Iterable[tuple[tuple[str, ...], int]]
COUNTER, GAUGE = MetricType.COUNTER, MetricType.GAUGE
_SECOND: Final = 1_000_000_000
_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Found:
    """All that was read of one container. `device` is where its writable layer lies, with `room` there."""

    stats: ContainerStats
    figures: Figures
    processes: Processes
    room: os.statvfs_result
    device: str
    started: int


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    help: str
    kind: MetricType
    values: Callable[[Found], Values]
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LinkRow:
    """`figure` is the kernel's name of it, as the pod sees it."""

    name: str
    help: str
    figure: str


def _one(number: Callable[[Found], int | None]) -> Callable[[Found], Values]:
    def values(found: Found) -> Values:
        value = number(found)
        return () if value is None else (((), value),)

    return values


def _on_device(number: Callable[[Found], int | None]) -> Callable[[Found], Values]:
    def values(found: Found) -> Values:
        value = number(found)
        return () if value is None else (((found.device,), value),)

    return values


def _disks(number: Callable[[Disk], int]) -> Callable[[Found], Values]:
    return lambda found: [((name_of(disk),), number(disk)) for disk in found.figures.disks]


def _operations(found: Found) -> Iterator[tuple[tuple[str, ...], int]]:
    for disk in found.figures.disks:
        major, _, minor = disk.device.partition(":")
        for operation, count in (("Read", disk.read_bytes), ("Write", disk.written_bytes)):
            yield (name_of(disk), major, minor, operation), count


def name_of(disk: Disk) -> str:
    """/dev/sda of 8:0; the number of one without a name: two of the same label would be the same series."""
    try:
        return f"/dev/{Path(os.readlink(f'/sys/dev/block/{disk.device}')).name}"
    except OSError:
        return disk.device


def _faults(found: Found) -> Values:
    memory = found.figures.memory
    return (
        (("pgfault", "container"), memory.own_faults),
        (("pgfault", "hierarchy"), memory.faults),
        (("pgmajfault", "container"), memory.own_major_faults),
        (("pgmajfault", "hierarchy"), memory.major_faults),
    )


def _waited(resource: str) -> Callable[[Found], Values]:
    return lambda found: [((), p.some // _MICROSECONDS) for p in found.figures.pressure if p.resource == resource]


def _stalled(resource: str) -> Callable[[Found], Values]:
    return lambda found: [((), p.full // _MICROSECONDS) for p in found.figures.pressure if p.resource == resource]


def _cpu_seconds(found: Found) -> int | None:
    used = found.stats.cpu.usage_core_nano_seconds if found.stats.cpu else None
    return used.value // _SECOND if used else None


def _memory_usage(found: Found) -> int | None:
    used = found.stats.memory.usage_bytes if found.stats.memory else None
    return used.value if used else None


def _working_set(found: Found) -> int | None:
    used = found.stats.memory.working_set_bytes if found.stats.memory else None
    return used.value if used else None


def _rss(found: Found) -> int | None:
    used = found.stats.memory.rss_bytes if found.stats.memory else None
    return used.value if used else None


def _written(found: Found) -> int | None:
    used = found.stats.writable_layer.used_bytes if found.stats.writable_layer else None
    return used.value if used else None


def _last_seen(found: Found) -> int | None:
    return found.stats.cpu.timestamp // _SECOND if found.stats.cpu else None


def _files_max(found: Found) -> Values:
    most = found.processes.files_max
    return () if most is None else ((("max_open_files",), most),)


CONTAINER: Final = (
    Row(
        "container_blkio_device_usage_total",
        "Bytes that went to and from each device.",
        COUNTER,
        _operations,
        ("device", "major", "minor", "operation"),
    ),
    Row(
        "container_cpu_cfs_periods_total",
        "Number of elapsed enforcement period intervals.",
        COUNTER,
        _one(lambda f: f.figures.cpu.periods),
    ),
    Row(
        "container_cpu_cfs_throttled_periods_total",
        "Number of throttled period intervals.",
        COUNTER,
        _one(lambda f: f.figures.cpu.throttled_periods),
    ),
    Row(
        "container_cpu_cfs_throttled_seconds_total",
        "Seconds that the container has been throttled.",
        COUNTER,
        _one(lambda f: f.figures.cpu.throttled // _SECOND),
    ),
    Row(
        "container_cpu_system_seconds_total",
        "Seconds of CPU time spent in the kernel.",
        COUNTER,
        _one(lambda f: f.figures.cpu.system // _SECOND),
    ),
    Row("container_cpu_usage_seconds_total", "Seconds of CPU time spent.", COUNTER, _one(_cpu_seconds)),
    Row(
        "container_cpu_user_seconds_total",
        "Seconds of CPU time spent outside the kernel.",
        COUNTER,
        _one(lambda f: f.figures.cpu.user // _SECOND),
    ),
    Row("container_file_descriptors", "Number of open files.", GAUGE, _one(lambda f: f.processes.descriptors)),
    Row(
        "container_fs_inodes_free",
        "Number of inodes that are free where the writable layer lies.",
        GAUGE,
        _on_device(lambda f: f.room.f_favail),
        ("device",),
    ),
    Row(
        "container_fs_inodes_total",
        "Number of inodes where the writable layer lies.",
        GAUGE,
        _on_device(lambda f: f.room.f_files),
        ("device",),
    ),
    Row(
        "container_fs_limit_bytes",
        "Number of bytes that the file system of the writable layer holds.",
        GAUGE,
        _on_device(lambda f: f.room.f_blocks * f.room.f_frsize),
        ("device",),
    ),
    Row("container_fs_reads_bytes_total", "Bytes read.", COUNTER, _disks(lambda d: d.read_bytes), ("device",)),
    Row("container_fs_reads_total", "Number of reads.", COUNTER, _disks(lambda d: d.reads), ("device",)),
    Row(
        "container_fs_usage_bytes",
        "Number of bytes that the container's writable layer holds.",
        GAUGE,
        _on_device(_written),
        ("device",),
    ),
    Row("container_fs_writes_bytes_total", "Bytes written.", COUNTER, _disks(lambda d: d.written_bytes), ("device",)),
    Row("container_fs_writes_total", "Number of writes.", COUNTER, _disks(lambda d: d.writes), ("device",)),
    Row(
        "container_hugetlb_max_usage_bytes",
        "Highest usage of huge pages in bytes.",
        GAUGE,
        lambda f: [((pages.size,), pages.usage_max) for pages in f.figures.huge_pages],
        ("pagesize",),
    ),
    Row(
        "container_hugetlb_usage_bytes",
        "Usage of huge pages in bytes.",
        GAUGE,
        lambda f: [((pages.size,), pages.usage) for pages in f.figures.huge_pages],
        ("pagesize",),
    ),
    Row("container_last_seen", "When the container was last seen, in seconds since 1970.", GAUGE, _one(_last_seen)),
    Row("container_memory_cache", "Bytes of page cache.", GAUGE, _one(lambda f: f.figures.memory.cache)),
    Row(
        "container_memory_failcnt",
        "Number of times that memory reached its limit.",
        COUNTER,
        _one(lambda f: f.figures.memory.failures),
    ),
    Row(
        "container_memory_failures_total",
        "Number of page faults.",
        COUNTER,
        _faults,
        ("failure_type", "scope"),
    ),
    Row(
        "container_memory_kernel_usage",
        "Bytes that the kernel holds for the container.",
        GAUGE,
        _one(lambda f: f.figures.memory.kernel),
    ),
    Row(
        "container_memory_mapped_file",
        "Bytes of files that are mapped.",
        GAUGE,
        _one(lambda f: f.figures.memory.mapped_file),
    ),
    Row(
        "container_memory_max_usage_bytes",
        "Highest usage of memory in bytes.",
        GAUGE,
        _one(lambda f: f.figures.memory.usage_max),
    ),
    Row("container_memory_rss", "Bytes of anonymous memory.", GAUGE, _one(_rss)),
    Row("container_memory_swap", "Bytes that are swapped out.", GAUGE, _one(lambda f: f.figures.memory.swap)),
    Row(
        "container_memory_usage_bytes",
        "Bytes of memory in use, whenever they were last touched.",
        GAUGE,
        _one(_memory_usage),
    ),
    Row("container_memory_working_set_bytes", "Bytes of the working set.", GAUGE, _one(_working_set)),
    Row(
        "container_oom_events_total",
        "Number of processes that the kernel killed for want of memory.",
        COUNTER,
        _one(lambda f: f.figures.oom_kills),
    ),
    Row(
        "container_pressure_cpu_stalled_seconds_total",
        "Seconds that all tasks waited for CPU time.",
        COUNTER,
        _stalled("cpu"),
    ),
    Row(
        "container_pressure_cpu_waiting_seconds_total",
        "Seconds that some task waited for CPU time.",
        COUNTER,
        _waited("cpu"),
    ),
    Row("container_pressure_io_stalled_seconds_total", "Seconds that all waited for IO.", COUNTER, _stalled("io")),
    Row("container_pressure_io_waiting_seconds_total", "Seconds that some waited for IO.", COUNTER, _waited("io")),
    Row(
        "container_pressure_memory_stalled_seconds_total",
        "Seconds that all tasks waited for memory.",
        COUNTER,
        _stalled("memory"),
    ),
    Row(
        "container_pressure_memory_waiting_seconds_total",
        "Seconds that some task waited for memory.",
        COUNTER,
        _waited("memory"),
    ),
    Row("container_processes", "Number of processes.", GAUGE, _one(lambda f: f.figures.processes)),
    Row("container_sockets", "Number of open sockets.", GAUGE, _one(lambda f: f.processes.sockets)),
    Row(
        "container_spec_cpu_period",
        "Microseconds that the CPU quota is for.",
        GAUGE,
        _one(lambda f: f.figures.cpu.period),
    ),
    Row(
        "container_spec_cpu_quota",
        "CPU time in each period in microseconds, where it is limited.",
        GAUGE,
        _one(lambda f: f.figures.cpu.quota),
    ),
    Row("container_spec_cpu_shares", "Share of CPU time.", GAUGE, _one(lambda f: f.figures.cpu.shares)),
    Row(
        "container_spec_memory_limit_bytes",
        "Limit of memory in bytes, 0 for none.",
        GAUGE,
        _one(lambda f: f.figures.memory.limit),
    ),
    Row(
        "container_spec_memory_reservation_limit_bytes",
        "Memory in bytes that is taken last, 0 for none.",
        GAUGE,
        _one(lambda f: f.figures.memory.reservation),
    ),
    Row(
        "container_spec_memory_swap_limit_bytes",
        "Limit of swap in bytes, in cgroup v1 together with memory; 0 for none.",
        GAUGE,
        _one(lambda f: f.figures.memory.swap_limit),
    ),
    Row(
        "container_start_time_seconds",
        "When the container started, in seconds since 1970.",
        GAUGE,
        _one(lambda f: f.started // _SECOND),
    ),
    Row("container_threads", "Number of threads.", GAUGE, _one(lambda f: f.figures.threads)),
    Row(
        "container_threads_max",
        "Number of threads that there may be, 0 for any.",
        GAUGE,
        _one(lambda f: f.figures.threads_max),
    ),
    Row(
        "container_ulimits_soft",
        "Soft limits of the container's first process.",
        GAUGE,
        _files_max,
        ("ulimit",),
    ),
)
LINK: Final = (
    LinkRow("container_network_receive_bytes_total", "Bytes received.", "rx_bytes"),
    LinkRow("container_network_receive_errors_total", "Errors in receiving.", "rx_errors"),
    LinkRow("container_network_receive_packets_dropped_total", "Packets dropped in receiving.", "rx_dropped"),
    LinkRow("container_network_receive_packets_total", "Packets received.", "rx_packets"),
    LinkRow("container_network_transmit_bytes_total", "Bytes sent.", "tx_bytes"),
    LinkRow("container_network_transmit_errors_total", "Errors in sending.", "tx_errors"),
    LinkRow("container_network_transmit_packets_dropped_total", "Packets dropped in sending.", "tx_dropped"),
    LinkRow("container_network_transmit_packets_total", "Packets sent.", "tx_packets"),
)
