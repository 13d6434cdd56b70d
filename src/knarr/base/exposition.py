"""Figures in Prometheus' text form, and those that every process has of itself.

A *family* is what has one name: a help text, a type and samples with labels. Spec: text exposition format 0.0.4.
"""

import os
import resource
import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final

STARTED: Final = time.time()
BUCKETS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0)
"""Seconds; what a queue's work takes."""


def labels(**named: str) -> str:
    """`{a="b"}` with the values escaped; the order is the caller's."""
    pairs = (f'{name}="{escaped(value)}"' for name, value in named.items())
    return "{" + ",".join(pairs) + "}" if named else ""


def escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def family(name: str, kind: str, meaning: str, samples: Iterable[tuple[str, float]]) -> list[str]:
    """The lines of one family; each sample is (labels as `labels` makes them, value)."""
    return [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}", *(f"{name}{each} {value}" for each, value in samples)]


def bound(value: float) -> str:
    """A bucket's bound as Go writes it: queries name `le="1"`."""
    return f"{value:g}"


class Histogram:
    """How often something took how long."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = BUCKETS) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def lines(self, name: str, inner: str) -> list[str]:
        """Its samples; `inner` are the labels without their braces."""
        return histogram(name, inner, self._bounds, self.counts, self.total)


def histogram(name: str, inner: str, bounds: Sequence[float], counts: Sequence[int], total: float) -> list[str]:
    """The samples of a histogram whose counts are by bucket, the last one above every bound."""
    lines, count = [], 0
    before = f"{inner}," if inner else ""
    for each, within in zip((*map(bound, bounds), "+Inf"), counts, strict=True):
        count += within
        lines.append(f'{name}_bucket{{{before}le="{each}"}} {count}')
    braced = f"{{{inner}}}" if inner else ""
    return [*lines, f"{name}_sum{braced} {total:.6f}", f"{name}_count{braced} {count}"]


def own_figures() -> list[str]:
    """What this process uses."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    with open("/proc/self/statm", "rb") as file:
        virtual, resident = (int(each) * resource.getpagesize() for each in file.read().split()[:2])
    files_max = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    figures = (
        ("process_cpu_seconds_total", "counter", "Processor time used, in seconds.", usage.ru_utime + usage.ru_stime),
        ("process_resident_memory_bytes", "gauge", "Resident memory.", resident),
        ("process_virtual_memory_bytes", "gauge", "Virtual memory.", virtual),
        ("process_open_fds", "gauge", "Open file descriptors.", len(os.listdir("/proc/self/fd"))),
        ("process_max_fds", "gauge", "File descriptors that may be open.", files_max),
        ("process_start_time_seconds", "gauge", "When the process started, in seconds since the epoch.", STARTED),
    )
    return [line for name, kind, meaning, value in figures for line in family(name, kind, meaning, (("", value),))]
