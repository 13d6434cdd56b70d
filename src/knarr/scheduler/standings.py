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
_Entry = tuple[int, str]
"""(the negative local score, the node)."""


class Verdict(Struct, frozen=True, gc=False):
    """About one node, the pods around left aside. `can_preempt`: the refusal could end with another pod's leaving.
    `likings`: (disliked taints, preferred affinity weight)."""

    reasons: Sequence[str] = ()
    can_preempt: bool = False
    likings: tuple[int, int] = (0, 0)
    score: int = 0


class _About(Struct, frozen=True):
    """What the node itself means for the template."""

    node: Node | None
    reasons: Sequence[str]
    likings: tuple[int, int]


class _Room(Struct, frozen=True):
    """What a node's shape means for the template."""

    reasons: Sequence[str]
    can_preempt: bool
    score: int


_NOTHING_SAID = _About(None, (), (0, 0))


def judged(asking: Asking, state: NodeState, snapshot: Snapshot) -> Verdict:
    """The verdict about a node as it is, remembering nothing."""
    about = _about(asking, state.node)
    return _verdict(about, _room(asking, state, snapshot) if not about.reasons else None)


def _verdict(about: _About, room: _Room | None) -> Verdict:
    if room is None:
        return Verdict(about.reasons)
    return Verdict(room.reasons, room.can_preempt, about.likings, room.score)


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


def names_nodes(asking: Asking) -> bool:
    """Does it matter to the template which labels or name a node has?"""
    asked = asking.wanted
    return bool(asked.node_selector or asked.required or asked.preferred or asking.profile.added_affinity)


class Standings:
    """The verdicts of one template over the snapshot that made it. Of each fitting node it keeps the class and the
    entry in the class's heap; an entry that is no longer its node's is outdated."""

    def __init__(self, asking: Asking, snapshot: Snapshot) -> None:
        self._asking = asking
        self._snapshot = snapshot
        self._seen = 0
        self._around = None if asking.is_alone and not snapshot.has_terms else Surroundings(asking, snapshot)
        self._names_nodes = names_nodes(asking)
        self._rooms: dict[Shape, _Room] = {}
        self._abouts: dict[str, _About] = {}
        self._classes: dict[str, Class] = {}
        self._entries: dict[str, _Entry] = {}
        self._fitting: Counter[Class] = Counter()
        self._heaps: dict[Class, list[_Entry]] = {}

    def verdicts(self) -> dict[str, Verdict]:
        """Of every node, as of now."""
        found = {}
        for state in self._snapshot.nodes.values():
            about = self._about(state.node)
            found[state.name] = _verdict(about, None if about.reasons else self._room(state))
        return found

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

    def _about(self, node: Node) -> _About:
        if not self._names_nodes and not node.spec.taints and not node.spec.unschedulable:
            return _NOTHING_SAID
        about = self._abouts.get(node.metadata.name)
        if about is None or about.node is not node:
            about = self._abouts[node.metadata.name] = _about(self._asking, node)
        return about

    def _room(self, state: NodeState) -> _Room:
        room = self._rooms.get(state.shape)
        if room is None:
            room = self._rooms[state.shape] = _room(self._asking, state, self._snapshot)
        return room

    def _judge(self, state: NodeState, cell: Cell) -> None:
        name, before = state.name, self._classes.get(state.name)
        about = self._about(state.node)
        room = self._rooms.get(state.shape) or self._room(state)
        if about.reasons or room.reasons:
            if before is not None:
                self._fitting[before] -= 1
                del self._classes[name], self._entries[name]
            return
        negative = -room.score
        if before is not None and before[:2] == about.likings and before[2] == cell:
            if self._entries[name][0] == negative:
                return
            standing = before
        else:
            standing = (*about.likings, cell)
            if before is not None:
                self._fitting[before] -= 1
            self._classes[name] = standing
            self._fitting[standing] += 1
        entry = self._entries[name] = (negative, name)
        heap = self._heaps.get(standing)
        if heap is None:
            heap = self._heaps[standing] = []
        heapq.heappush(heap, entry)
        if len(heap) > 64 + 2 * len(self._classes):
            heap[:] = [each for each in heap if self._is_current(each, standing)]
            heapq.heapify(heap)

    def _is_current(self, entry: _Entry, standing: Class) -> bool:
        return self._entries.get(entry[1]) is entry and self._classes[entry[1]] == standing

    def best(self) -> str | None:
        """The fitting node with the highest score, the first by name among equals."""
        numbers = self._open_classes()
        if not numbers:
            return None
        norm = Norm(((one, other) for one, other, _ in numbers), self._asking.profile)
        nearby = self._nearby(numbers)
        found: _Entry | None = None
        for standing in numbers:
            negative, name = self._top(standing)
            ranked = (negative - norm.total(standing) - nearby.get(standing[2], 0), name)
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

    def _top(self, standing: Class) -> _Entry:
        heap = self._heaps[standing]
        while not self._is_current(heap[0], standing):
            heapq.heappop(heap)
        return heap[0]


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
