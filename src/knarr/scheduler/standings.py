"""Standings: how every node answers one template: refused and why, or how good it is.

Kept between pods of the template; only nodes that changed since are judged anew. Fitting nodes stand in *classes* of
equal (disliked taints, preferred affinity weight, cell of the surroundings), all that is normalised over the fitting
nodes; within a class a heap knows the best. So one decision among thousands of nodes costs a few heap steps.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from knarr.kinds.lens.node import Node
from knarr.scheduler.asking import Asking
from knarr.scheduler.filters import node_affinity, ports, resources, taints
from knarr.scheduler.node_state import NodeState, Shape
from knarr.scheduler.profile import Profile
from knarr.scheduler.scores import images
from knarr.scheduler.scores import node_affinity as node_affinity_score
from knarr.scheduler.scores import resources as resources_score
from knarr.scheduler.scores import taints as taints_score
from knarr.scheduler.snapshot import Snapshot
from knarr.scheduler.surroundings import Cell, Surroundings
from knarr.scheduler.wanted import Wanted

AboutNode = Callable[[Wanted, Node, Profile], Sequence[str]]
# In upstream's order: the first filter that refuses gives the node's reasons. No pod's leaving changes their answers.
ABOUT_NODE: tuple[tuple[str, AboutNode], ...] = (
    ("NodeUnschedulable", lambda asked, node, _: taints.unschedulable(asked, node)),
    ("TaintToleration", lambda asked, node, _: taints.untolerated(asked, node)),
    ("NodeAffinity", lambda asked, node, profile: node_affinity.refusals(asked, node, profile.added_affinity)),
)
SHAPES_MAX = 10_000
"""Remembered per template: nodes of one shape get one computation."""

Class = tuple[int, int, Cell]
"""(disliked taints, preferred affinity weight, cell)."""


class Verdict(Struct, frozen=True, gc=False):
    """Of one node in one generation, the pods around left aside. `can_preempt`: the refusal could end with another
    pod's leaving. `likings`: (disliked taints, preferred affinity weight)."""

    generation: int
    reasons: Sequence[str] = ()
    can_preempt: bool = False
    likings: tuple[int, int] = (0, 0)
    score: int = 0


class _About(Struct, frozen=True):
    """What the node itself means for the template."""

    node: Node
    reasons: Sequence[str]
    likings: tuple[int, int]


class _Room(Struct, frozen=True):
    """What a node's shape means for the template."""

    reasons: Sequence[str]
    can_preempt: bool
    score: int


def judged(asking: Asking, state: NodeState, snapshot: Snapshot) -> Verdict:
    """The verdict about a node as it is, remembering nothing."""
    return _verdict(state, _about(asking, state.node), lambda: _room(asking, state, snapshot))


def _verdict(state: NodeState, about: _About, room: Callable[[], _Room]) -> Verdict:
    if about.reasons:
        return Verdict(state.generation, about.reasons)
    found = room()
    return Verdict(state.generation, found.reasons, found.can_preempt, about.likings, found.score)


def _about(asking: Asking, node: Node) -> _About:
    asked, profile = asking.wanted, asking.profile
    for name, refuse in ABOUT_NODE:
        reasons = refuse(asked, node, profile) if name in profile.filters else ()
        if reasons:
            return _About(node, reasons, (0, 0))
    disliked = taints_score.disliked(asked, node) if node.spec.taints else 0
    has_liking = asked.preferred or profile.added_affinity
    liking = node_affinity_score.weight(asked, node, profile.added_affinity) if has_liking else 0
    return _About(node, (), (disliked, liking))


def _room(asking: Asking, state: NodeState, snapshot: Snapshot) -> _Room:
    asked, profile = asking.wanted, asking.profile
    if asked.host_ports and "NodePorts" in profile.filters:
        reasons = ports.refusals(asked, state)
        if reasons:
            return _Room(reasons, True, 0)
    if "NodeResourcesFit" in profile.filters:
        reasons = resources.refusals(asked, state, profile.fit)
        if reasons:
            return _Room(reasons, not resources.is_hopeless(asked, state, profile.fit), 0)
    return _Room((), False, _room_score(asking, state, snapshot))


def _room_score(asking: Asking, state: NodeState, snapshot: Snapshot) -> int:
    asked, profile, total = asking.wanted, asking.profile, 0
    if weight := profile.weight("NodeResourcesFit"):
        total += weight * resources_score.fit_score(asked, state, profile.fit)
    if weight := profile.weight("NodeResourcesBalancedAllocation"):
        total += weight * resources_score.balanced(asked, state, profile.balanced)
    if (weight := profile.weight("ImageLocality")) and state.images:
        total += weight * images.locality(asked, state, snapshot)
    return total


class Standings:
    """The verdicts of one template over the snapshot that made it."""

    def __init__(self, asking: Asking, snapshot: Snapshot) -> None:
        self._asking = asking
        self._snapshot = snapshot
        self._seen = 0
        self._around = None if asking.is_alone and not snapshot.has_terms else Surroundings(asking, snapshot)
        self._rooms: dict[Shape, _Room] = {}
        self._abouts: dict[str, _About] = {}
        self._classes: dict[str, Class] = {}
        self._fitting: Counter[Class] = Counter()
        self._heaps: dict[Class, list[tuple[int, str, int]]] = {}
        self.verdicts: dict[str, Verdict] = {}

    def refresh(self) -> None:
        """Judge the nodes that changed since."""
        if self._seen == self._snapshot.generation:
            return
        if len(self._rooms) >= SHAPES_MAX:
            self._rooms.clear()
        changed = list(self._snapshot.changed_since(self._seen))
        around = self._around
        if around is None:
            for state in changed:
                self._judge(state, ())
        else:
            version = around.version
            cells = [around.note(state) for state in changed]
            if around.version != version:
                changed = list(self._snapshot.nodes.values())
                cells = [around.note(state) for state in changed]
            for state, cell in zip(changed, cells, strict=True):
                self._judge(state, cell)
        self._seen = self._snapshot.generation

    def _judge(self, state: NodeState, cell: Cell) -> None:
        name, node = state.node.metadata.name, state.node
        about = self._abouts.get(name)
        if about is None or about.node is not node:
            about = self._abouts[name] = _about(self._asking, node)
        room: _Room | None = None
        if not about.reasons:
            room = self._rooms.get(state.shape)
            if room is None:
                room = self._rooms[state.shape] = _room(self._asking, state, self._snapshot)
        before = self._classes.pop(name, None)
        if before is not None:
            self._fitting[before] -= 1
        if room is None:
            self.verdicts[name] = Verdict(state.generation, about.reasons)
            return
        self.verdicts[name] = Verdict(state.generation, room.reasons, room.can_preempt, about.likings, room.score)
        if not room.reasons:
            self._rank((*about.likings, cell), name, room.score, state.generation)

    def _rank(self, standing: Class, name: str, score: int, generation: int) -> None:
        self._classes[name] = standing
        self._fitting[standing] += 1
        heap = self._heaps.get(standing)
        if heap is None:
            heap = self._heaps[standing] = []
        heapq.heappush(heap, (-score, name, generation))
        if len(heap) > 64 + 2 * self._fitting[standing]:
            self._rebuild(standing)

    def best(self) -> str | None:
        """The fitting node with the highest score, the first by name among equals."""
        numbers = self._open_classes()
        if not numbers:
            return None
        norm = Norm(((one, other) for one, other, _ in numbers), self._asking.profile)
        nearby = self._nearby(numbers)
        found: tuple[int, str] | None = None
        for standing in numbers:
            score, name = self._top(standing)
            ranked = (-score - norm.total(standing) - nearby.get(standing[2], 0), name)
            if found is None or ranked < found:
                found = ranked
        assert found is not None
        return found[1]

    def _open_classes(self) -> dict[Class, int]:
        """The classes that have fitting nodes, and how many."""
        if self._around is not None:
            self._around.prepare()
        numbers, closed = {}, []
        for standing, number in self._fitting.items():
            if not number:
                closed.append(standing)
            elif self._around is None or not self._around.refuses(standing[2]):
                numbers[standing] = number
        for standing in closed:
            del self._fitting[standing], self._heaps[standing]
        return numbers

    def _nearby(self, numbers: dict[Class, int]) -> dict[Cell, int]:
        if self._around is None or len(numbers) < 2:
            return {}
        by_cell: Counter[Cell] = Counter()
        for standing, number in numbers.items():
            by_cell[standing[2]] += number
        return self._around.scores(by_cell)

    def _top(self, standing: Class) -> tuple[int, str]:
        heap = self._heaps[standing]
        while True:
            negative, name, generation = heap[0]
            if self.verdicts[name].generation == generation and self._classes.get(name) == standing:
                return -negative, name
            heapq.heappop(heap)

    def _rebuild(self, standing: Class) -> None:
        """Leave the outdated entries behind."""
        heap = [
            entry
            for entry in self._heaps[standing]
            if self.verdicts[entry[1]].generation == entry[2] and self._classes.get(entry[1]) == standing
        ]
        heapq.heapify(heap)
        self._heaps[standing] = heap


class Norm:
    """Normalises the likings over those of the fitting nodes, as upstream does over the nodes."""

    def __init__(self, likings: Iterable[tuple[int, int]], profile: Profile) -> None:
        found = list(likings)
        self._taints_max = max((liking[0] for liking in found), default=0)
        self._weight_max = max((liking[1] for liking in found), default=0)
        self._taints_weight = profile.weight("TaintToleration")
        self._affinity_weight = profile.weight("NodeAffinity")

    def total(self, likings: tuple[int, ...] | Class) -> int:
        tolerance = 100 - 100 * likings[0] // self._taints_max if self._taints_max else 100
        affinity = 100 * likings[1] // self._weight_max if self._weight_max else 0
        return self._taints_weight * tolerance + self._affinity_weight * affinity
