"""What pods and node use, from the runtime's CRI statistics, as values; and the document of /metrics/resource.

The document of /stats/summary is summary.py's.
Pure but for `node_usage`, which reads /proc. CPU in use is a rate between two samples; `Rates` keeps the last one.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType

from knarr.base.clock import Instant
from knarr.cri.messages.image import FilesystemUsage, UInt64Value
from knarr.cri.messages.stats import ContainerStats, MemoryUsage
from knarr.kinds.lens.pod import Pod
from knarr.kubelet import observed

JIFFIES = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """`cpu_nanoseconds` since the start, `nanocores` now (None before a second sample), memory and disk in bytes.

    `memory` has the caches in it; `available` is what is left of a limit, None without one; faults since the start.
    """

    at: Instant
    cpu_nanoseconds: int = 0
    nanocores: int | None = None
    working_set: int = 0
    rss: int = 0
    disk: int = 0
    inodes: int = 0
    memory: int = 0
    available: int | None = None
    page_faults: int = 0
    major_page_faults: int = 0
    started_at: Instant | None = None


@dataclass(frozen=True, slots=True)
class ContainerUsage:
    uid: str
    namespace: str
    pod: str
    container: str
    usage: Usage


@dataclass(slots=True)
class Rates:
    """The last sample of each container and of the node, so that the next gives a rate."""

    last: dict[str, tuple[Instant, int]] = field(default_factory=dict)

    def of(self, key: str, at: Instant, nanoseconds: int) -> int | None:
        """Nanocores since the sample before; None for the first or one of the same moment."""
        before = self.last.get(key)
        self.last[key] = (at, nanoseconds)
        if before is None or at <= before[0] or nanoseconds < before[1]:
            return None
        return round((nanoseconds - before[1]) / (at - before[0]).total_seconds())

    def keep_only(self, keys: set[str]) -> None:
        for key in [key for key in self.last if key not in keys]:
            del self.last[key]


Starts = Mapping[tuple[str, str], Instant | None]
"""(the pod's uid, the container's name) → since when it runs."""


def starts(pods: Iterable[Pod]) -> Starts:
    """Since when each running container runs, as its pod's status says."""
    return {
        (pod.metadata.uid, one.name): one.state.running.started_at
        for pod in pods
        for status in (pod.status,)
        for one in (*status.init_container_statuses, *status.container_statuses, *status.ephemeral_container_statuses)
        if one.state.running is not None
    }


def container_usages(
    found: Iterable[ContainerStats], rates: Rates, started: Starts = MappingProxyType({})
) -> list[ContainerUsage]:
    """The usage of every container that belongs to a pod."""
    usages = []
    for stats in found:
        attributes = stats.attributes
        if attributes is None or observed.POD_UID not in attributes.labels or stats.cpu is None:
            continue
        labels = attributes.labels
        at = datetime.fromtimestamp(stats.cpu.timestamp / 1e9, UTC)
        nanoseconds = _value(stats.cpu.usage_core_nano_seconds)
        rate = rates.of(attributes.id, at, nanoseconds)
        stated = stats.cpu.usage_nano_cores
        memory, layer = stats.memory or MemoryUsage(), stats.writable_layer or FilesystemUsage()
        usage = Usage(
            at=at,
            cpu_nanoseconds=nanoseconds,
            nanocores=stated.value if stated is not None else rate,
            working_set=_value(memory.working_set_bytes),
            rss=_value(memory.rss_bytes),
            disk=_value(layer.used_bytes),
            inodes=_value(layer.inodes_used),
            memory=_value(memory.usage_bytes),
            available=memory.available_bytes.value if memory.available_bytes is not None else None,
            page_faults=_value(memory.page_faults),
            major_page_faults=_value(memory.major_page_faults),
            started_at=started.get((labels[observed.POD_UID], labels.get(observed.CONTAINER_NAME, ""))),
        )
        usages.append(
            ContainerUsage(
                labels[observed.POD_UID],
                labels.get(observed.POD_NAMESPACE, ""),
                labels.get(observed.POD_NAME, ""),
                labels.get(observed.CONTAINER_NAME, ""),
                usage,
            )
        )
    return usages


def node_usage(now: Instant, rates: Rates) -> Usage:
    """The whole machine, from /proc."""
    processors = _words("/proc/stat")
    busy = sum(int(word) for index, word in enumerate(processors["cpu"][:8]) if index not in (3, 4))
    nanoseconds = busy * 1_000_000_000 // JIFFIES
    memory = {key.rstrip(":"): int(words[0]) * 1024 for key, words in _words("/proc/meminfo").items()}
    faults = {key: int(words[0]) for key, words in _words("/proc/vmstat").items()}
    available = memory.get("MemAvailable", memory["MemFree"])
    return Usage(
        at=now,
        cpu_nanoseconds=nanoseconds,
        nanocores=rates.of("node", now, nanoseconds),
        working_set=memory["MemTotal"] - available,
        rss=memory.get("AnonPages", 0),
        memory=memory["MemTotal"] - memory["MemFree"],
        available=available,
        page_faults=faults.get("pgfault", 0),
        major_page_faults=faults.get("pgmajfault", 0),
        started_at=datetime.fromtimestamp(int(processors["btime"][0]), UTC),
    )


def _words(path: str) -> dict[str, list[str]]:
    """First word of each line → the others."""
    with open(path, encoding="ascii") as file:
        return {words[0]: words[1:] for line in file if len(words := line.split()) > 1}


def resource_metrics(node: Usage, usages: Iterable[ContainerUsage]) -> str:
    """The document of /metrics/resource, in Prometheus' text form."""
    found = list(usages)
    pods: dict[tuple[str, str], tuple[int, int, Instant]] = {}
    for one in found:
        cpu, memory, at = pods.get((one.namespace, one.pod), (0, 0, one.usage.at))
        key = (one.namespace, one.pod)
        pods[key] = (cpu + one.usage.cpu_nanoseconds, memory + one.usage.working_set, max(at, one.usage.at))
    lines = _family("container_cpu_usage_seconds_total", "counter")
    for one in found:
        seconds = one.usage.cpu_nanoseconds / 1e9
        lines.append(_sample("container_cpu_usage_seconds_total", _labels(one), seconds, one.usage.at))
    lines += _family("container_memory_working_set_bytes", "gauge")
    lines += [_sample("container_memory_working_set_bytes", _labels(o), o.usage.working_set, o.usage.at) for o in found]
    lines += _family("container_start_time_seconds", "gauge")
    lines += [
        f"container_start_time_seconds{_labels(one)} {one.usage.started_at.timestamp():.10g}"
        for one in found
        if one.usage.started_at is not None
    ]
    lines += _family("node_cpu_usage_seconds_total", "counter")
    lines += [_sample("node_cpu_usage_seconds_total", "", node.cpu_nanoseconds / 1e9, node.at)]
    lines += _family("node_memory_working_set_bytes", "gauge")
    lines += [_sample("node_memory_working_set_bytes", "", node.working_set, node.at)]
    lines += _family("pod_cpu_usage_seconds_total", "counter")
    lines += [_sample("pod_cpu_usage_seconds_total", _pod(key), cpu / 1e9, at) for key, (cpu, _, at) in pods.items()]
    lines += _family("pod_memory_working_set_bytes", "gauge")
    lines += [_sample("pod_memory_working_set_bytes", _pod(key), memory, at) for key, (_, memory, at) in pods.items()]
    lines += [*_family("resource_scrape_error", "gauge"), "resource_scrape_error 0"]
    return "\n".join(lines) + "\n"


def _family(name: str, kind: str) -> list[str]:
    return [f"# TYPE {name} {kind}"]


def _sample(name: str, labels: str, value: float, at: Instant) -> str:
    return f"{name}{labels} {value:.10g} {round(at.timestamp() * 1000)}"


def _labels(one: ContainerUsage) -> str:
    return f'{{container="{one.container}",namespace="{one.namespace}",pod="{one.pod}"}}'


def _pod(key: tuple[str, str]) -> str:
    return f'{{namespace="{key[0]}",pod="{key[1]}"}}'


def _value(wrapped: UInt64Value | None) -> int:
    return wrapped.value if wrapped is not None else 0
