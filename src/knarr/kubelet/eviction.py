"""Node-pressure eviction: when the node runs short of memory, disk, inodes or process ids, and which pod goes first.

Pure: `observed` says which thresholds act and which conditions hold, `victim` who goes. One pod at a time is ended,
then the node is looked at again. Reading the machine is node_signals.py's, acting relief.py's, limits of single pods
are local_storage.py's. Spec: docs "Node-pressure Eviction". Vocabulary: a threshold with `grace_seconds` is a soft one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction
from typing import Final, Literal

from knarr.base.clock import Instant
from knarr.kinds.lens.pod import Pod
from knarr.kubelet import admission, demands, quantities
from knarr.kubelet.standing import Stop
from knarr.objects import quantity

Condition = Literal["MemoryPressure", "DiskPressure", "PIDPressure"]
IMMEDIATE_GRACE_SECONDS: Final = 1
"""What a pod gets when a hard threshold or its own limit is passed (upstream's number)."""


@dataclass(frozen=True, slots=True)
class Signal:
    """What is available of something, and of how much."""

    available: int
    capacity: int


# signal → (the node condition that it means, what the eviction message calls the resource)
SIGNALS: Final[Mapping[str, tuple[Condition, str]]] = {
    "memory.available": ("MemoryPressure", "memory"),
    "nodefs.available": ("DiskPressure", "ephemeral-storage"),
    "nodefs.inodesFree": ("DiskPressure", "inodes"),
    "imagefs.available": ("DiskPressure", "ephemeral-storage"),
    "imagefs.inodesFree": ("DiskPressure", "inodes"),
    "pid.available": ("PIDPressure", "pids"),
}


@dataclass(frozen=True, slots=True)
class Threshold:
    """An `amount`, or a `share` of the capacity but at most `cap`; once met, it is so until `reclaim` more is there."""

    signal: str
    amount: int = 0
    share: float = 0.0
    cap: int = 0
    reclaim: int = 0
    grace_seconds: float = 0.0

    @property
    def condition(self) -> Condition:
        return SIGNALS[self.signal][0]

    @property
    def resource(self) -> str:
        return SIGNALS[self.signal][1]

    def quantity(self, capacity: int) -> int:
        wanted = self.amount or round(self.share * capacity)
        return min(wanted, self.cap) if self.cap else wanted


# Upstream's hard thresholds, and one for process ids. The caps are ours: a tenth of a developer's two-terabyte disk is
# not scarcity.
HARD: Final = (
    Threshold("memory.available", amount=100 << 20),
    Threshold("nodefs.available", share=0.10, cap=5 << 30),
    Threshold("nodefs.inodesFree", share=0.05),
    Threshold("imagefs.available", share=0.15, cap=5 << 30),
    Threshold("imagefs.inodesFree", share=0.05),
    Threshold("pid.available", share=0.05),
)


@dataclass(frozen=True, slots=True)
class Watched:
    """What is remembered between two looks: since when a threshold is met, when a condition was last seen."""

    met_since: Mapping[Threshold, Instant] = field(default_factory=dict)
    pressed_at: Mapping[Condition, Instant] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Observation:
    """`acting` thresholds ask for a pod now; `conditions` are the node's."""

    watched: Watched
    acting: tuple[Threshold, ...] = ()
    conditions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A running pod and what its containers use, by container name, of memory and of disk; and the pod in pieces."""

    pod: Pod
    memory: Mapping[str, int] = field(default_factory=dict)
    disk: Mapping[str, int] = field(default_factory=dict)
    volumes: int = 0
    inodes: int = 0
    processes: int = 0


def observed(
    thresholds: Sequence[Threshold], found: Mapping[str, Signal], before: Watched, now: Instant, transition: timedelta
) -> Observation:
    """Which thresholds are met, and act since their grace is over; a condition lasts for `transition` after its end."""
    met = [t for t in thresholds if t.signal in found and _is_met(t, found[t.signal], was_met=t in before.met_since)]
    since = {threshold: before.met_since.get(threshold, now) for threshold in met}
    pressed = {**before.pressed_at, **{threshold.condition: now for threshold in met}}
    pressed = {name: at for name, at in pressed.items() if at == now or now - at < transition}
    acting = tuple(t for t in met if (now - since[t]).total_seconds() >= t.grace_seconds)
    return Observation(Watched(since, pressed), acting, frozenset(pressed))


def is_met(threshold: Threshold, found: Mapping[str, Signal]) -> bool:
    """Whether the signal is past the threshold, or short of the reclaim that a met one asks for."""
    return threshold.signal in found and _is_met(threshold, found[threshold.signal], was_met=True)


def _is_met(threshold: Threshold, signal: Signal, *, was_met: bool) -> bool:
    wanted = threshold.quantity(signal.capacity) + (threshold.reclaim if was_met else 0)
    return signal.available < wanted


def victim(
    threshold: Threshold, signal: Signal, candidates: Iterable[Candidate], grace_max: int = 0
) -> tuple[Pod, Stop] | None:
    """The pod to end for a threshold, and what to tell; critical pods are spared."""
    resource = threshold.resource
    ranked = sorted((c for c in candidates if not admission.is_critical(c.pod)), key=lambda c: _rank(c, resource))
    if not ranked:
        return None
    grace = (grace_max or None) if threshold.grace_seconds else IMMEDIATE_GRACE_SECONDS
    return ranked[0].pod, Stop("Evicted", _message(threshold, signal, ranked[0]), grace)


def _rank(candidate: Candidate, resource: str) -> tuple[bool, int, int]:
    """Sorted first: above its request, of low priority, far above its request."""
    excess = _used(candidate, resource) - demands.requests(candidate.pod).get(resource, 0)
    return excess <= 0, candidate.pod.spec.priority or 0, -excess


def _used(candidate: Candidate, resource: str) -> int:
    match resource:
        case "memory":
            return sum(candidate.memory.values())
        case "inodes":
            return candidate.inodes
        case "pids":
            return candidate.processes
        case _:
            return sum(candidate.disk.values()) + candidate.volumes


def _requests(pod: Pod, resource: str) -> dict[str, int]:
    containers = (*pod.spec.init_containers, *pod.spec.containers)
    return {c.name: quantities.whole(c.resources.requests.get(resource, "0")) for c in containers}


def _message(threshold: Threshold, signal: Signal, candidate: Candidate) -> str:
    """Upstream's words about the cause and the containers above their request."""
    resource = threshold.resource
    wanted, available = _text(threshold.quantity(signal.capacity)), _text(signal.available)
    text = f"The node was low on resource: {resource}. Threshold quantity: {wanted}, available: {available}. "
    if resource not in ("memory", "ephemeral-storage"):
        return text
    used = candidate.memory if resource == "memory" else candidate.disk
    for container, request in _requests(candidate.pod, resource).items():
        if used.get(container, 0) > request:
            text += f"Container {container} was using {_text(used[container])}, request is {_text(request)}, "
            text += f"has larger consumption of {resource}. "
    return text


def _text(amount: int) -> str:
    """Bytes as upstream's messages show them: in the largest unit that divides them."""
    return quantity.text(Fraction(amount), like="1Ki")
