"""schedule(pod, snapshot): the node a pod goes to, or per node why it may not.

Filters and scores are tables; a plugin is one file and one row. What is undecidable here (binding, retrying,
preemption's evictions) is runner.py. Spec: "Kubernetes Scheduler", "Scheduling Framework".
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from knarr.kinds.lens.pod import Pod
from knarr.scheduler.filters import node_affinity, ports, resources, taints
from knarr.scheduler.scores import preferences
from knarr.scheduler.scores import resources as resource_scores
from knarr.scheduler.snapshot import NodeState, Snapshot

Filter = Callable[[Pod, NodeState], Sequence[str]]
Score = Callable[[Pod, NodeState], float]

# In upstream's order: the first filter that refuses gives the node's reasons.
FILTERS: tuple[Filter, ...] = (taints.refusals, node_affinity.refusals, ports.refusals, resources.refusals)
SCORES: tuple[Score, ...] = (resource_scores.score, preferences.score)


@dataclass(frozen=True, slots=True)
class Bound:
    node: str


@dataclass(frozen=True, slots=True)
class Unschedulable:
    """`reasons` has one list per node that was looked at."""

    reasons: Mapping[str, Sequence[str]]

    @property
    def message(self) -> str:
        """Upstream's sentence: `0/2 nodes are available: 1 Insufficient cpu, 1 Too many pods.`"""
        counted = Counter(reason for reasons in self.reasons.values() for reason in reasons)
        listed = ", ".join(sorted(f"{count} {reason}" for reason, count in counted.items()))
        return (
            f"0/{len(self.reasons)} nodes are available: {listed}." if listed else "no nodes available to schedule pods"
        )


def schedule(pod: Pod, snapshot: Snapshot) -> Bound | Unschedulable:
    """Where the pod goes. Among equal scores the name that sorts first wins: the same input gives the same answer."""
    reasons = {name: refusals(pod, state) for name, state in snapshot.items()}
    fitting = [name for name, refused in reasons.items() if not refused]
    if not fitting:
        return Unschedulable(reasons)
    if len(fitting) == 1:
        return Bound(fitting[0])
    return Bound(min(fitting, key=lambda name: (-total(pod, snapshot[name]), name)))


def refusals(pod: Pod, state: NodeState) -> Sequence[str]:
    """The reasons of the first filter that refuses the node; none if all let it pass."""
    for refuse in FILTERS:
        reasons = refuse(pod, state)
        if reasons:
            return reasons
    return ()


def total(pod: Pod, state: NodeState) -> float:
    return sum(score(pod, state) for score in SCORES)
