"""What cgroup v2 is told of a container's memory beside its limit: who is killed with whom, how much it may swap.

Pure; cgroup v1 knows neither, and is told nothing here. Specs: KubeletConfiguration (singleProcessOOMKill,
memorySwap) and docs "Swap memory management". Vocabulary: under LimitedSwap a container's part of the swap is its
part of the memory, by request.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from knarr.kinds.lens.pod import Pod
from knarr.kubelet import admission, members, quantities
from knarr.kubelet.members import AnyContainer

OOM_GROUP, SWAP_MAX = "memory.oom.group", "memory.swap.max"


@dataclass(frozen=True, slots=True)
class MemoryRules:
    """Of one machine. `kills_together`: the OOM killer ends all of a container's processes, not the largest alone.
    `swap_bytes` is what all containers together may swap; None: its kernel does not count that."""

    is_v2: bool = False
    kills_together: bool = False
    swap_capacity: int = 0
    swap_bytes: int | None = None


def unified(pod: Pod, container: AnyContainer, memory_capacity: int, rules: MemoryRules) -> dict[str, str]:
    """Files of cgroup v2 and what to write into them."""
    return dict(_unified(pod, container, memory_capacity, rules))


def _unified(pod: Pod, container: AnyContainer, memory_capacity: int, rules: MemoryRules) -> Iterator[tuple[str, str]]:
    if rules.kills_together:
        yield OOM_GROUP, "1"
    if rules.swap_bytes is not None:
        may = _may_swap(pod, container)
        asked = quantities.whole(container.resources.requests.get("memory", "0"))
        yield SWAP_MAX, str(rules.swap_bytes * asked // max(memory_capacity, 1) if may else 0)


def _may_swap(pod: Pod, container: AnyContainer) -> bool:
    """Only who asked for some memory and may have more; a critical pod and one of another class never do."""
    asked, limit = (quantities.whole(of.get("memory", "0")) for of in _amounts(container))
    return members.qos_class(pod) == "Burstable" and 0 != asked != limit and not admission.is_critical(pod)


def _amounts(container: AnyContainer) -> tuple[dict[str, str], dict[str, str]]:
    return container.resources.requests, container.resources.limits
