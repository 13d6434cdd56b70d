"""Preemption by the kubelet: which pods make room for a critical one that does not fit (a static pod, or the system's).

Pure. Only lesser pods go, BestEffort before Burstable before Guaranteed, and of each class those that together are
nearest to what is missing. That is the kubelet's own preemption, after the scheduler's (scheduler/preemption.py), which
static pods never meet. Who is asked and who acts: allocations.py, kubelet.py.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from knarr.kinds.lens.pod import Pod
from knarr.kubelet import admission, demands, members
from knarr.kubelet.standing import Stop

WHY: Final = Stop("Preempting", "Preempted in order to admit critical pod")
_CLASSES: Final = ("BestEffort", "Burstable", "Guaranteed")


def victims(pod: Pod, others: Sequence[Pod], missing: Mapping[str, int]) -> list[Pod] | None:
    """Who has to go so that `missing` of the node is free; None if even all lesser pods would not do."""
    lesser = [other for other in others if is_lesser(other, pod)]
    if rest(missing, lesser):
        return None
    best_effort, burstable, guaranteed = ([o for o in lesser if members.qos_class(o) == name] for name in _CLASSES)
    last = _nearest(guaranteed, rest(missing, [*best_effort, *burstable]))
    middle = _nearest(burstable, rest(missing, [*best_effort, *last]))
    first = _nearest(best_effort, rest(missing, [*middle, *last]))
    return [*first, *middle, *last]


def is_lesser(other: Pod, pod: Pod) -> bool:
    """Whether that pod may be ended for this one."""
    if admission.is_critical(pod) and not admission.is_critical(other):
        return True
    return (pod.spec.priority or 0) > (other.spec.priority or 0)


def refusal(missing: Mapping[str, int]) -> Stop:
    """What a critical pod is told for which nobody can make room, in upstream's words."""
    named = "".join(f"(res: {name}, q: {amount}), " for name, amount in missing.items())
    text = f"no set of running pods found to reclaim resources: [{named}]"
    text = f"preemption: error finding a set of pods to preempt: {text}"
    return Stop(
        "UnexpectedAdmissionError", f"Unexpected error while attempting to recover from admission failure: {text}"
    )


def rest(missing: Mapping[str, int], pods: Sequence[Pod]) -> dict[str, int]:
    """What is still missing once those pods have gone."""
    freed = demands.total(demands.requests(pod) for pod in pods)
    return {name: amount - freed.get(name, 0) for name, amount in missing.items() if amount > freed.get(name, 0)}


def _nearest(pods: Sequence[Pod], missing: Mapping[str, int]) -> list[Pod]:
    """Pods that free what is missing, each the one that comes nearest to it, of equals the smaller."""
    chosen: list[Pod] = []
    left = list(pods)
    while missing and left:
        best = min(left, key=lambda pod: (_distance(pod, missing), _size(pod)))
        left.remove(best)
        chosen.append(best)
        missing = rest(missing, [best])
    return chosen


def _distance(pod: Pod, missing: Mapping[str, int]) -> float:
    """How far one pod alone is from being enough: the sum of squares of the shares that it leaves open."""
    frees = demands.requests(pod)
    return sum(max(0.0, (amount - frees.get(name, 0)) / amount) ** 2 for name, amount in missing.items())


def _size(pod: Pod) -> tuple[int, int]:
    frees = demands.requests(pod)
    return frees.get("memory", 0), frees.get("cpu", 0)
