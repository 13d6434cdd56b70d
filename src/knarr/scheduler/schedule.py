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
from knarr.objects.labels import NOTHING
from knarr.scheduler.asking import Asking
from knarr.scheduler.filters import inter_pod, node_affinity, spread, volumes
from knarr.scheduler.group_standings import GroupStandings
from knarr.scheduler.node_state import NodeState
from knarr.scheduler.profile import DEFAULT, Profile
from knarr.scheduler.scores import inter_pod as inter_pod_score
from knarr.scheduler.scores import spread as spread_score
from knarr.scheduler.snapshot import Snapshot, Supposed, World
from knarr.scheduler.standings import Norm, Standings, Verdict, judged, names_nodes

Refuse = Callable[[NodeState], Sequence[str]]
Prepare = Callable[[Asking, World], Refuse | None]
Score = Callable[[Asking, World, Sequence[str]], Mapping[str, int] | None]

# Filters over volumes and the pods around, in upstream's order; prepared once per pod, then asked per node.
AROUND: tuple[Prepare, ...] = (volumes.prepare, spread.prepare, inter_pod.prepare)
# Scores over the pods around by plugin; each 0…100 per fitting node.
SCORES_AROUND: tuple[tuple[str, Score], ...] = (
    ("PodTopologySpread", spread_score.scores),
    ("InterPodAffinity", inter_pod_score.scores),
)
NODES_MIN: Final = 100
# No leaving of another pod helps against these.
UNRESOLVABLE = frozenset({spread.NO_LABEL, inter_pod.AFFINITY}) | volumes.UNRESOLVABLE


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


def asking_of(pod: Pod, snapshot: Snapshot, profile: Profile) -> Asking:
    """The pod with what its profile adds."""
    by_default = profile.default_spreads and not pod.spec.topology_spread_constraints
    return Asking(pod, profile, snapshot.siblings.selector(pod) if by_default else NOTHING)


def schedule(pod: Pod, snapshot: Snapshot, profile: Profile = DEFAULT) -> Bound | Unschedulable:
    """Where the pod goes. Among equal scores the name that sorts first wins: the same input gives the same answer."""
    asking = asking_of(pod, snapshot, profile)
    held_back = volumes.refusal(asking, snapshot.volumes) if asking.has_claims else ""
    if held_back:
        return Unschedulable(dict.fromkeys(snapshot.nodes, (held_back,)), held_back)
    named = node_affinity.named_nodes(asking.wanted) if "NodeAffinity" in profile.filters else None
    if named is not None:
        verdicts = {name: judged(asking, snapshot.nodes[name], snapshot) for name in named if name in snapshot.nodes}
        return weighed(asking, snapshot, verdicts)
    is_alone = asking.is_alone and not snapshot.has_terms
    key = ("standings", profile.name, asking.wanted if is_alone else (asking.key, snapshot.has_terms))
    kind = GroupStandings if is_alone and not names_nodes(asking) else Standings
    standings = snapshot.kept(key, lambda: kind(asking, snapshot))
    standings.refresh()
    is_free = not asking.has_claims and not snapshot.nominated_node(pod) and not _others(pod, snapshot)
    if is_free and snapshot.has_one_node_per_host:
        best = standings.best()
        if best is not None:
            return Bound(best)
    return weighed(asking, snapshot, standings.verdicts())


def weighed(asking: Asking, snapshot: Snapshot, verdicts: Mapping[str, Verdict]) -> Bound | Unschedulable:
    """Every node is asked: where pods to come have a say, and for the reasons of a refusal."""
    refuse = refuser(asking, snapshot)
    refused: dict[str, Sequence[str]] = {}
    fitting: list[str] = []
    enough = enough_nodes(len(snapshot.nodes), asking.profile.percentage_of_nodes_to_score)
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


def enough_nodes(nodes: int, percentage: int = 0) -> int:
    """How many fitting nodes are enough to choose from; without a percentage all of 100, half of a few hundred, a
    tenth of thousands. Where standings answer, all nodes are compared: that costs nothing there."""
    percentage = percentage or max(5, 50 - nodes // 125)
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
    coming = _others(asking.pod, snapshot, state.name)
    if not coming:
        return ()
    crowded = state.copy()
    for pod in coming:
        crowded.add(pod)
    return refused_on(asking, snapshot, crowded)


def refused_on(asking: Asking, snapshot: Snapshot, state: NodeState) -> Sequence[str]:
    """Why the pod may not go to a node that is as it would be."""
    reasons = judged(asking, state, snapshot).reasons
    return reasons or refuser(asking, Supposed(snapshot, state))(state)


def _others(pod: Pod, snapshot: Snapshot, node: str = "") -> list[Pod]:
    """Other pods of the same or a higher priority that are nominated (to that node, where one is named)."""
    own, priority = pod.metadata.uid, pod.spec.priority or 0
    return [
        each
        for each, name in snapshot.nominated.values()
        if each.metadata.uid != own and (each.spec.priority or 0) >= priority and node in ("", name)
    ]


def _best(asking: Asking, snapshot: Snapshot, fitting: Mapping[str, Verdict]) -> str:
    names = list(fitting)
    if len(names) == 1:
        return names[0]
    norm = Norm((verdict.likings for verdict in fitting.values()), asking.profile)
    totals = {name: verdict.score + norm.total(verdict.likings) for name, verdict in fitting.items()}
    for plugin, score in SCORES_AROUND:
        for name, points in (score(asking, snapshot, names) or {}).items():
            totals[name] += asking.profile.weight(plugin) * points
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
