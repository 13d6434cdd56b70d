"""Node-pressure eviction: when the node runs out of memory, disk, inodes or process ids, and which pod goes first.

Pure: `pressures` and `victim` decide on values; `signals` reads them. One pod at a time is ended, then the node is
looked at again. Thresholds are upstream's hard ones. Spec: docs "Node-pressure Eviction". Not here: soft thresholds,
and freeing images first.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from knarr.kinds.lens.pod import Pod
from knarr.kubelet import quantities
from knarr.kubelet.standing import Stop

CHECK_SECONDS = 10.0
"""Upstream's housekeeping interval."""
Condition = Literal["MemoryPressure", "DiskPressure", "PIDPressure"]


@dataclass(frozen=True, slots=True)
class Signal:
    """What is available of something, and of how much."""

    available: int
    capacity: int


@dataclass(frozen=True, slots=True)
class Threshold:
    """An `amount`, or a `share` of the capacity but at most `cap`; `resource` is what the eviction message calls it."""

    condition: Condition
    resource: str
    amount: int = 0
    share: float = 0.0
    cap: int = 0

    def quantity(self, capacity: int) -> int:
        wanted = self.amount or round(self.share * capacity)
        return min(wanted, self.cap) if self.cap else wanted


# signal → upstream's hard threshold. The cap is ours: a tenth of a developer's two-terabyte disk is not scarcity.
THRESHOLDS: Mapping[str, Threshold] = {
    "memory.available": Threshold("MemoryPressure", "memory", amount=100 << 20),
    "nodefs.available": Threshold("DiskPressure", "ephemeral-storage", share=0.10, cap=5 << 30),
    "nodefs.inodesFree": Threshold("DiskPressure", "inodes", share=0.05),
    "pid.available": Threshold("PIDPressure", "pids", share=0.05),
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A running pod and what its containers use, by container name, of memory and of disk."""

    pod: Pod
    memory: Mapping[str, int]
    disk: Mapping[str, int]


def pressures(found: Mapping[str, Signal]) -> list[str]:
    """The signals that are past their threshold, memory first."""
    return [name for name, limit in THRESHOLDS.items() if name in found and _is_short(found[name], limit)]


def _is_short(signal: Signal, threshold: Threshold) -> bool:
    return signal.available < threshold.quantity(signal.capacity)


def conditions(short: Iterable[str]) -> frozenset[str]:
    """The node conditions that those signals mean."""
    return frozenset(THRESHOLDS[name].condition for name in short)


def victim(
    short: Sequence[str], found: Mapping[str, Signal], candidates: Iterable[Candidate]
) -> tuple[Pod, Stop] | None:
    """The pod to end for the first signal that is short, and what to tell; critical pods are spared."""
    if not short:
        return None
    name = short[0]
    resource = THRESHOLDS[name].resource
    ranked = sorted((c for c in candidates if not _is_critical(c.pod)), key=lambda c: _rank(c, resource))
    if not ranked:
        return None
    return ranked[0].pod, Stop("Evicted", _message(name, found[name], ranked[0]))


def _is_critical(pod: Pod) -> bool:
    return (pod.spec.priority or 0) >= 2_000_000_000


def _rank(candidate: Candidate, resource: str) -> tuple[bool, int, int]:
    """Sorted first: above its request, of low priority, far above its request."""
    used = sum((candidate.memory if resource == "memory" else candidate.disk).values())
    excess = used - sum(_requests(candidate.pod, resource).values())
    return excess <= 0, candidate.pod.spec.priority or 0, -excess


def _requests(pod: Pod, resource: str) -> dict[str, int]:
    return {c.name: quantities.whole(c.resources.requests.get(resource, "0")) for c in pod.spec.containers}


def _message(name: str, signal: Signal, candidate: Candidate) -> str:
    """Upstream's words about the cause and the containers above their request."""
    threshold = THRESHOLDS[name]
    resource = threshold.resource
    quantity, available = _text(threshold.quantity(signal.capacity)), _text(signal.available)
    text = f"The node was low on resource: {resource}. Threshold quantity: {quantity}, available: {available}. "
    if resource not in ("memory", "ephemeral-storage"):
        return text
    used = candidate.memory if resource == "memory" else candidate.disk
    for container, request in _requests(candidate.pod, resource).items():
        if used.get(container, 0) > request:
            text += f"Container {container} was using {_text(used[container])}, request is {_text(request)}, "
            text += f"has larger consumption of {resource}. "
    return text


def _text(amount: int) -> str:
    """Bytes as a quantity: Ki where it divides, as upstream's messages show them."""
    return f"{amount >> 10}Ki" if amount >= 1024 else str(amount)


def signals(root: Path) -> dict[str, Signal]:
    """What the machine says now; `root` is on the file system that pods write to."""
    with open("/proc/meminfo", encoding="ascii") as file:
        memory = {line.split(":")[0]: int(line.split()[1]) << 10 for line in file}
    disk = os.statvfs(root)
    found = {
        "memory.available": Signal(memory.get("MemAvailable", memory["MemFree"]), memory["MemTotal"]),
        "nodefs.available": Signal(disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize),
    }
    if disk.f_files:
        found["nodefs.inodesFree"] = Signal(disk.f_favail, disk.f_files)
    return found | _pids()


def _pids() -> dict[str, Signal]:
    limit = int(Path("/proc/sys/kernel/pid_max").read_text(encoding="ascii"))
    running = int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].split("/")[1])
    return {"pid.available": Signal(limit - running, limit)}
