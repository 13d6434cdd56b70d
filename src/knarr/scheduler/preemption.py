"""preempt(pod, …): who must leave so that a more important pod finds room, and on which node.

On each node where it might help, all less important pods are thought away; as many as possible are let stay again,
those that a PodDisruptionBudget protects first. The node whose loss is least wins. Deleting them is the runner's.
Spec: "Pod Priority and Preemption".
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec

from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.policy import PodDisruptionBudget
from knarr.objects import labels
from knarr.scheduler.asking import Asking
from knarr.scheduler.node_state import NodeState
from knarr.scheduler.profile import DEFAULT, Profile
from knarr.scheduler.schedule import Unschedulable, asking_of, refused_on, sentence
from knarr.scheduler.snapshot import Snapshot

NOT_HELPFUL: Final = "Preemption is not helpful for scheduling"
NO_VICTIMS: Final = "No preemption victims found for incoming pod"
LATEST: Final = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Preemption:
    """The pod is nominated to `node`; `victims` have to leave it."""

    node: str
    victims: tuple[Pod, ...]


@dataclass(frozen=True, slots=True)
class NoPreemption:
    """`message` says why, in upstream's words; `is_waiting`: earlier victims are still on their way out."""

    message: str
    is_waiting: bool = False


@dataclass(frozen=True, slots=True)
class _Candidate:
    node: str
    victims: tuple[Pod, ...]
    violations: int

    def loss(self) -> tuple[object, ...]:
        """The less the better: budgets broken, the highest priority lost, their sum, their number, what ran longest."""
        priorities = [priority(pod) for pod in self.victims]
        highest = max(priorities, default=-(2**31))
        oldest = min((_start(pod) for pod in self.victims if priority(pod) == highest), default=LATEST)
        total = sum(each + 2**31 for each in priorities)
        return (self.violations, highest, total, len(self.victims), -oldest.timestamp(), self.node)


def preempt(
    pod: Pod,
    snapshot: Snapshot,
    outcome: Unschedulable,
    *,
    budgets: Sequence[PodDisruptionBudget] = (),
    going: Collection[str] = (),
    profile: Profile = DEFAULT,
) -> Preemption | NoPreemption:
    """`going` are the uids of pods whose deletion was asked for though the snapshot does not show it yet."""
    if pod.spec.preemption_policy == "Never":
        return NoPreemption("not eligible due to preemptionPolicy=Never.")
    if _waits_for_victims(pod, snapshot, going):
        return NoPreemption("not eligible due to a terminating pod on the nominated node.", is_waiting=True)
    reasons: dict[str, Sequence[str]] = dict.fromkeys(snapshot.nodes, (NOT_HELPFUL,))
    found: list[_Candidate] = []
    enough = max(profile.candidates_min, len(snapshot.nodes) * profile.candidates_percentage // 100)
    asking = asking_of(pod, snapshot, profile)
    for name in outcome.preemptable:
        candidate = _candidate(asking, snapshot, snapshot.nodes[name], budgets)
        if isinstance(candidate, _Candidate):
            found.append(candidate)
            if len(found) >= enough:
                break
        else:
            reasons[name] = candidate
    if not found:
        return NoPreemption(sentence(reasons.values(), len(reasons)))
    best = min(found, key=_Candidate.loss)
    return Preemption(best.node, best.victims)


def priority(pod: Pod) -> int:
    return pod.spec.priority or 0


def _waits_for_victims(pod: Pod, snapshot: Snapshot, going: Collection[str]) -> bool:
    nominated = snapshot.nominated_node(pod)
    state = snapshot.nodes.get(nominated)
    return state is not None and any(
        priority(other) < priority(pod) and (other.metadata.deletion_timestamp is not None or uid in going)
        for uid, other in state.pods.items()
    )


def _candidate(
    asking: Asking, snapshot: Snapshot, state: NodeState, budgets: Sequence[PodDisruptionBudget]
) -> _Candidate | Sequence[str]:
    """What the node would lose, or why losing does not help."""
    weaker = [other for other in state.pods.values() if priority(other) < priority(asking.pod)]
    if not weaker:
        return [NO_VICTIMS]
    supposed = state.copy()
    for other in snapshot.nominated_to(state.name):
        if other.metadata.uid != asking.pod.metadata.uid and priority(other) >= priority(asking.pod):
            supposed.add(other)
    for other in weaker:
        supposed.remove(other.metadata.uid)
    refused = refused_on(asking, snapshot, supposed)
    if refused:
        return refused
    violating, free = by_budgets(sorted(weaker, key=lambda other: (-priority(other), _start(other))), budgets)
    lost = [pod for pod in violating if not _may_stay(asking, snapshot, supposed, pod)]
    violations = len(lost)
    lost += [pod for pod in free if not _may_stay(asking, snapshot, supposed, pod)]
    return _Candidate(state.name, tuple(lost), violations)


def _may_stay(asking: Asking, snapshot: Snapshot, supposed: NodeState, pod: Pod) -> bool:
    """Put the pod back; take it away again if the asking pod no longer fits."""
    supposed.add(pod)
    if not refused_on(asking, snapshot, supposed):
        return True
    supposed.remove(pod.metadata.uid)
    return False


def by_budgets(pods: Sequence[Pod], budgets: Sequence[PodDisruptionBudget]) -> tuple[list[Pod], list[Pod]]:
    """(those whose loss would break a budget, the others); each budget allows so many, the first ones."""
    allowed = [budget.status.disruptions_allowed for budget in budgets]
    violating: list[Pod] = []
    free: list[Pod] = []
    for pod in pods:
        breaks = False
        for index, budget in enumerate(budgets):
            if protects(budget, pod):
                allowed[index] -= 1
                breaks = breaks or allowed[index] < 0
        (violating if breaks else free).append(pod)
    return violating, free


def protects(budget: PodDisruptionBudget, pod: Pod) -> bool:
    """An empty selector protects nothing here, as upstream; a pod whose disruption is counted already is free."""
    selector = budget.spec.selector
    if selector is None or budget.metadata.namespace != pod.metadata.namespace or not pod.metadata.labels:
        return False
    compiled = labels.of(msgspec.to_builtins(selector))
    is_counted = pod.metadata.name in budget.status.disrupted_pods
    return not compiled.is_everything and not is_counted and compiled.matches(pod.metadata.labels)


def _start(pod: Pod) -> datetime:
    return pod.status.start_time or LATEST
