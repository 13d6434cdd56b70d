"""schedule(pod, snapshot): the node a pod goes to, or per node why it may not.

Filters and scores are tables; a plugin is one file and one row: those about the node alone in standings.py, those
about the pods around it here. What is undecidable here (binding, retrying) is runner.py; who must make room is
preemption.py. Spec: "Kubernetes Scheduler", "Scheduling Framework".
"""

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from knarr.kinds.lens.pod import Pod
from knarr.scheduler.asking import Asking
from knarr.scheduler.filters import inter_pod, node_affinity, spread, volumes
from knarr.scheduler.node_state import NodeState
from knarr.scheduler.scores import inter_pod as inter_pod_score
from knarr.scheduler.scores import spread as spread_score
from knarr.scheduler.snapshot import Snapshot, Supposed, World
from knarr.scheduler.standings import Norm, Standings, Verdict, judged

Refuse = Callable[[NodeState], Sequence[str]]
Prepare = Callable[[Asking, World], Refuse | None]
Score = Callable[[Asking, World, Sequence[str]], Mapping[str, int] | None]

# Filters over the pods around, in upstream's order; prepared once per pod, then asked per node.
AROUND: tuple[Prepare, ...] = (spread.prepare, inter_pod.prepare)
# Scores over the pods around with upstream's weights; each 0…100 per fitting node.
SCORES_AROUND: tuple[tuple[Score, int], ...] = ((spread_score.scores, 2), (inter_pod_score.scores, 2))
NODES_MIN: Final = 100
# No leaving of another pod helps against these.
UNRESOLVABLE = frozenset({spread.NO_LABEL, inter_pod.AFFINITY})


@dataclass(frozen=True, slots=True)
class Bound:
    node: str


@dataclass(frozen=True, slots=True)
class Unschedulable:
    """`reasons` has one list per node; `everywhere` is the one reason that holds the pod back whatever the node;
    `preemptable` are the nodes where another pod's leaving might help."""

    reasons: Mapping[str, Sequence[str]]
    everywhere: str = ""
    preemptable: Sequence[str] = field(default=(), compare=False)

    @property
    def message(self) -> str:
        """Upstream's sentence: `0/2 nodes are available: 1 Insufficient cpu, 1 Too many pods.`"""
        if self.reasons and self.everywhere:
            return f"0/{len(self.reasons)} nodes are available: {self.everywhere}."
        return sentence(self.reasons.values(), len(self.reasons)) or "no nodes available to schedule pods"


def sentence(reasons: Iterable[Sequence[str]], nodes: int) -> str:
    """Every reason with the number of nodes that gave it; "" when there is none."""
    counted = Counter(reason for each in reasons for reason in each)
    listed = ", ".join(sorted(f"{count} {reason}" for reason, count in counted.items()))
    return f"0/{nodes} nodes are available: {listed}." if listed else ""


def schedule(pod: Pod, snapshot: Snapshot) -> Bound | Unschedulable:
    """Where the pod goes. Among equal scores the name that sorts first wins: the same input gives the same answer."""
    held_back = volumes.refusal(pod, snapshot.claims) if pod.spec.volumes else ""
    if held_back:
        return Unschedulable(dict.fromkeys(snapshot.nodes, (held_back,)), held_back)
    asking = Asking(pod)
    is_alone = asking.is_alone and not snapshot.has_terms and not _others(pod, snapshot.nominated.values())
    named = node_affinity.named_nodes(asking.wanted)
    if named is not None:
        verdicts = {
            name: judged(asking.wanted, snapshot.nodes[name], snapshot) for name in named if name in snapshot.nodes
        }
        return _weighed(asking, snapshot, verdicts)
    standings = snapshot.kept(asking.wanted, lambda: Standings(asking.wanted, snapshot))
    standings.refresh()
    if is_alone and not snapshot.nominated_node(pod):
        best = standings.best()
        if best is not None:
            return Bound(best)
    return _weighed(asking, snapshot, standings.verdicts)


def _weighed(asking: Asking, snapshot: Snapshot, verdicts: Mapping[str, Verdict]) -> Bound | Unschedulable:
    """Every node is asked; needed where pods around, or pods to come, have a say."""
    refuse = refuser(asking, snapshot)
    refused: dict[str, Sequence[str]] = {}
    fitting: list[str] = []
    enough = enough_nodes(len(snapshot.nodes))
    for name in _in_turn(list(verdicts), snapshot.nominated_node(asking.pod), snapshot.generation):
        state, verdict = snapshot.nodes[name], verdicts[name]
        reasons = verdict.reasons or refuse(state) or _crowded(asking, snapshot, state)
        if reasons:
            refused[name] = reasons
        else:
            fitting.append(name)
            if len(fitting) == enough:
                break
    if not fitting:
        return _unschedulable(snapshot, verdicts, refused)
    nominated = snapshot.nominated_node(asking.pod)
    if nominated in fitting:
        return Bound(nominated)
    return Bound(_best(asking, snapshot, {name: verdicts[name] for name in fitting}))


def enough_nodes(nodes: int) -> int:
    """How many fitting nodes are enough to choose from: all of 100, half of a few hundred, a tenth of thousands."""
    percentage = max(5, 50 - nodes // 125)
    return min(nodes, max(NODES_MIN, nodes * percentage // 100))


def _in_turn(names: Sequence[str], first: str, turn: int) -> Iterable[str]:
    """The nominated node, then all others, each decision beginning elsewhere so that no part of a large cluster is
    preferred."""
    at = turn % len(names) if names else 0
    nominated = (first,) if first in names else ()
    return itertools.chain(nominated, (name for name in itertools.chain(names[at:], names[:at]) if name != first))


def refuser(asking: Asking, world: World) -> Refuse:
    """The first refusal of the filters over the pods around."""
    prepared = [filter_ for filter_ in (prepare(asking, world) for prepare in AROUND) if filter_ is not None]

    def refuse(state: NodeState) -> Sequence[str]:
        return next((reasons for reasons in (each(state) for each in prepared) if reasons), ())

    return refuse


def _crowded(asking: Asking, snapshot: Snapshot, state: NodeState) -> Sequence[str]:
    """Why the pod does not fit once the pods nominated to the node, of the same or a higher priority, are there."""
    if not snapshot.nominated:
        return ()
    coming = _others(asking.pod, [each for each in snapshot.nominated.values() if each[1] == state.name])
    if not coming:
        return ()
    crowded = state.copy()
    for pod in coming:
        crowded.add(pod)
    return refused_on(asking, snapshot, crowded)


def refused_on(asking: Asking, snapshot: Snapshot, state: NodeState) -> Sequence[str]:
    """Why the pod may not go to a node that is as it would be."""
    reasons = judged(asking.wanted, state, snapshot).reasons
    return reasons or refuser(asking, Supposed(snapshot, state))(state)


def _others(pod: Pod, nominated: Iterable[tuple[Pod, str]]) -> list[Pod]:
    own, priority = pod.metadata.uid, pod.spec.priority or 0
    return [each for each, _ in nominated if each.metadata.uid != own and (each.spec.priority or 0) >= priority]


def _best(asking: Asking, snapshot: Snapshot, fitting: Mapping[str, Verdict]) -> str:
    names = list(fitting)
    if len(names) == 1:
        return names[0]
    norm = Norm(verdict.standing for verdict in fitting.values())
    totals = {name: verdict.score + norm.total(verdict.standing) for name, verdict in fitting.items()}
    for score, weight in SCORES_AROUND:
        for name, points in (score(asking, snapshot, names) or {}).items():
            totals[name] += weight * points
    return min(names, key=lambda name: (-totals[name], name))


def _unschedulable(
    snapshot: Snapshot, verdicts: Mapping[str, Verdict], refused: Mapping[str, Sequence[str]]
) -> Unschedulable:
    """Nodes that were not asked are not the ones the pod names."""
    reasons = {name: refused.get(name) or [node_affinity.REASON] for name in snapshot.nodes}
    preemptable = [
        name
        for name, verdict in verdicts.items()
        if (verdict.can_preempt if verdict.reasons else not UNRESOLVABLE.intersection(refused[name]))
    ]
    return Unschedulable(reasons, preemptable=preemptable)
