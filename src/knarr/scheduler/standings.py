"""Standings: how every node answers one template: refused and why, or how good it is.

Kept between pods of the template; only nodes that changed since are judged anew. Fitting nodes stand in *classes* of
equal (disliked taints, preferred affinity weight), the two scores that are normalised over all fitting nodes; within a
class a heap knows the best. So one decision among thousands of nodes costs a few heap steps.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from knarr.scheduler.filters import node_affinity, ports, resources, taints
from knarr.scheduler.node_state import NodeState, Shape
from knarr.scheduler.scores import images
from knarr.scheduler.scores import node_affinity as node_affinity_score
from knarr.scheduler.scores import resources as resources_score
from knarr.scheduler.scores import taints as taints_score
from knarr.scheduler.snapshot import Snapshot
from knarr.scheduler.wanted import Wanted

# In upstream's order: the first filter that refuses gives the node's reasons. No pod's leaving changes the answer of
# those about the node; those about room read nothing but the node's shape.
ABOUT_NODE = (taints.refusals, node_affinity.refusals)
ABOUT_ROOM = (ports.refusals, resources.refusals)
SHAPES_MAX = 10_000
"""Remembered per template: nodes of one shape get one computation."""
TAINTS_WEIGHT, AFFINITY_WEIGHT = 3, 2
"""Upstream's default weights; the local scores weigh 1."""

Class = tuple[int, int]
"""(disliked taints, preferred affinity weight)."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of one node in one generation. `can_preempt`: the refusal could end with another pod's leaving."""

    generation: int
    reasons: Sequence[str] = ()
    can_preempt: bool = False
    standing: Class = (0, 0)
    score: int = 0


@dataclass(frozen=True, slots=True)
class _Room:
    """What a node's shape means for the template."""

    reasons: Sequence[str]
    score: int


def judged(asked: Wanted, state: NodeState, snapshot: Snapshot, known: dict[Shape, _Room] | None = None) -> Verdict:
    """`known` remembers the answers by shape; without it nothing is remembered."""
    for refuse in ABOUT_NODE:
        reasons = refuse(asked, state)
        if reasons:
            return Verdict(state.generation, reasons)
    room = None if known is None else known.get(state.shape)
    if room is None:
        room = _room(asked, state, snapshot)
        if known is not None and len(known) < SHAPES_MAX:
            known[state.shape] = room
    if room.reasons:
        return Verdict(state.generation, room.reasons, True)
    disliked = taints_score.disliked(asked, state) if state.node.spec.taints else 0
    weight = node_affinity_score.weight(asked, state) if asked.preferred else 0
    return Verdict(state.generation, (), False, (disliked, weight), room.score)


def _room(asked: Wanted, state: NodeState, snapshot: Snapshot) -> _Room:
    for refuse in ABOUT_ROOM:
        reasons = refuse(asked, state)
        if reasons:
            return _Room(reasons, 0)
    return _Room(
        (),
        resources_score.least_allocated(asked, state)
        + resources_score.balanced(asked, state)
        + images.locality(asked, state, snapshot),
    )


class Standings:
    """The verdicts of one template over the snapshot that made it."""

    def __init__(self, asked: Wanted, snapshot: Snapshot) -> None:
        self._asked = asked
        self._snapshot = snapshot
        self._seen = 0
        self._rooms: dict[Shape, _Room] = {}
        self._fitting: Counter[Class] = Counter()
        self._heaps: dict[Class, list[tuple[int, str, int]]] = {}
        self.verdicts: dict[str, Verdict] = {}

    def refresh(self) -> None:
        """Judge the nodes that changed since."""
        if len(self._rooms) >= SHAPES_MAX:
            self._rooms.clear()
        for state in self._snapshot.changed_since(self._seen):
            before = self.verdicts.get(state.name)
            if before is not None and not before.reasons:
                self._fitting[before.standing] -= 1
            verdict = self.verdicts[state.name] = judged(self._asked, state, self._snapshot, self._rooms)
            if not verdict.reasons:
                self._fitting[verdict.standing] += 1
                heap = self._heaps.setdefault(verdict.standing, [])
                heapq.heappush(heap, (-verdict.score, state.name, verdict.generation))
                if len(heap) > 64 + 2 * len(self.verdicts):
                    self._rebuild(verdict.standing)
        self._seen = self._snapshot.generation

    def best(self) -> str | None:
        """The fitting node with the highest score, the first by name among equals."""
        tops = {standing: self._top(standing) for standing, count in self._fitting.items() if count}
        if not tops:
            return None
        norm = Norm(tops)
        return min((-score - norm.total(standing), name) for standing, (score, name) in tops.items())[1]

    def _top(self, standing: Class) -> tuple[int, str]:
        heap = self._heaps[standing]
        while True:
            negative, name, generation = heap[0]
            if self.verdicts[name].generation == generation:
                return -negative, name
            heapq.heappop(heap)

    def _rebuild(self, standing: Class) -> None:
        """Leave the outdated entries behind."""
        heap = [
            (-verdict.score, name, verdict.generation)
            for name, verdict in self.verdicts.items()
            if not verdict.reasons and verdict.standing == standing
        ]
        heapq.heapify(heap)
        self._heaps[standing] = heap


class Norm:
    """Normalises the two class scores over the classes of the fitting nodes, as upstream does over the nodes."""

    def __init__(self, standings: Iterable[Class]) -> None:
        found = list(standings)
        self._taints_max = max((standing[0] for standing in found), default=0)
        self._weight_max = max((standing[1] for standing in found), default=0)

    def total(self, standing: Class) -> int:
        tolerance = 100 - 100 * standing[0] // self._taints_max if self._taints_max else 100
        affinity = 100 * standing[1] // self._weight_max if self._weight_max else 0
        return TAINTS_WEIGHT * tolerance + AFFINITY_WEIGHT * affinity
