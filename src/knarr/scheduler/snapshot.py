"""Snapshot: what the scheduler knows of the cluster when it decides about one pod.

It holds the nodes' states (node_state.py) and what is known of the cluster besides. Every change gives its node a new
generation, so whoever keeps answers per node (`per_node`, tally.py, standings.py) renews only those of nodes that
changed. A `World` is the snapshot, or the snapshot with one node as it would be (`Supposed`: preemption).
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final, Protocol, TypeVar

from knarr.kinds.lens.node import Node
from knarr.kinds.lens.pod import Pod
from knarr.scheduler import terms, wanted
from knarr.scheduler.groups import Groups
from knarr.scheduler.node_state import FINISHED_PHASES, NodeState, Shape
from knarr.scheduler.siblings import Siblings
from knarr.scheduler.tally import Cell, Row, Tally
from knarr.scheduler.volumes import Volumes

SHAPES_MAX: Final = 100_000
ANSWERS_MAX: Final = 1_000_000
"""Answers kept: one small value per template and node, some 150 MB at worst; a small cluster never gets there."""
KEPT_MAX: Final = 1024
T = TypeVar("T")


class World(Protocol):
    """What decisions across nodes read."""

    @property
    def nodes(self) -> Mapping[str, NodeState]: ...

    @property
    def namespaces(self) -> terms.NamespaceLabels: ...

    @property
    def has_terms(self) -> bool:
        """Does any placed pod ask something of the pods around it?"""
        ...

    @property
    def volumes(self) -> Volumes: ...

    def per_node(self, key: Hashable, answer: Callable[[NodeState], T | None]) -> Mapping[str, T]:
        """The answer for each node that has one (not None). `key` names the question."""
        ...

    def sums(self, key: Hashable, row: Callable[[NodeState], Row]) -> Mapping[Cell, int]:
        """The sum per cell over all nodes. `key` names the question."""
        ...


class _Answers:
    """Answers to one question by node, and up to which generation they are true."""

    __slots__ = ("by_node", "seen")

    def __init__(self) -> None:
        self.by_node: dict[str, Any] = {}
        self.seen = 0


class Snapshot:
    """The cluster as the scheduler knows it; a World. The runner alone changes it."""

    def __init__(self, states: Iterable[NodeState] = (), namespaces: terms.NamespaceLabels | None = None) -> None:
        self.nodes: dict[str, NodeState] = {}
        self.namespaces: dict[str, Mapping[str, str]] = dict(namespaces or {})
        self.volumes = Volumes()
        self.nominated: dict[str, tuple[Pod, str]] = {}
        self.siblings = Siblings()
        self.images: Counter[str] = Counter()
        self._hosts: Counter[str] = Counter()
        self._hosted = 0
        self.generation = 0
        self.epoch = 0
        self.groups = Groups()
        self._recent: OrderedDict[str, None] = OrderedDict()
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._with_terms: set[str] = set()
        self._shapes: dict[tuple[object, ...], Shape] = {}
        for state in states:
            self.put(state)

    @property
    def has_terms(self) -> bool:
        return bool(self._with_terms)

    @property
    def has_one_node_per_host(self) -> bool:
        """Does every value of the host name's label stand for one node?"""
        return len(self._hosts) == self._hosted

    # -- what changed -------------------------------------------------------------------------------------------------

    def put(self, state: NodeState) -> None:
        """A node that is new here."""
        self.nodes[state.name] = state
        self.images.update(state.images.keys())
        self._count_host(state.node, 1)
        self._forget()
        self._touch(state)

    def renew(self, node: Node) -> None:
        """A newer picture of a known node; nothing happens where scheduling would not see the difference."""
        state = self.nodes[node.metadata.name]
        if not differs(state.node, node):
            state.node = node
            return
        before = state.images
        self._count_host(state.node, -1)
        self._count_host(node, 1)
        state.become(node)
        if before.keys() != state.images.keys():
            self.images.subtract(before.keys())
            self.images.update(state.images.keys())
            self._forget()
        self._touch(state)

    def drop(self, name: str) -> None:
        state = self.nodes.pop(name, None)
        if state is not None:
            self.images.subtract(state.images.keys())
            self._count_host(state.node, -1)
            self._recent.pop(name, None)
            self.groups.drop(name)
            self._with_terms.discard(name)
            self._forget()

    def place(self, pod: Pod, name: str) -> None:
        """The pod is on that node; unknown nodes are ignored."""
        state = self.nodes.get(name)
        if state is None:
            return
        known = state.pods.get(pod.metadata.uid)
        if known is not None and _weighs_the_same(known, pod):
            state.pods[pod.metadata.uid] = pod
            return
        state.add(pod)
        self._touch(state)

    def remove(self, uid: str, name: str) -> None:
        state = self.nodes.get(name)
        if state is not None and uid in state.pods:
            state.remove(uid)
            self._touch(state)

    def name_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        """The labels of a namespace; None when it is gone."""
        if self.namespaces.get(name) == labels:
            return
        self.namespaces.pop(name, None)
        if labels is not None:
            self.namespaces[name] = labels
        self._forget()

    # -- reading ------------------------------------------------------------------------------------------------------

    def changed_since(self, generation: int) -> Iterator[NodeState]:
        """The nodes with a later generation, the latest first."""
        for name in reversed(self._recent):
            state = self.nodes[name]
            if state.generation <= generation:
                return
            yield state

    def kept(self, key: Hashable, make: Callable[[], T]) -> T:
        """What is kept under that key since the last change that touches every node, made if it is not there."""
        found: T | None = self._kept.get(key)
        if found is None:
            found = self._kept[key] = make()
            if len(self._kept) > min(KEPT_MAX, 16 + ANSWERS_MAX // max(1, len(self.nodes))):
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return found

    def per_node(self, key: Hashable, answer: Callable[[NodeState], T | None]) -> Mapping[str, T]:
        answers = self.kept(key, _Answers)
        for state in self.changed_since(answers.seen):
            found = answer(state)
            if found is None:
                answers.by_node.pop(state.name, None)
            else:
                answers.by_node[state.name] = found
        answers.seen = self.generation
        return answers.by_node

    def tally(self, key: Hashable, row: Callable[[NodeState], Row]) -> Tally:
        tally = self.kept(key, Tally)
        for state in self.changed_since(tally.seen):
            tally.put(state.name, row(state))
        tally.seen = self.generation
        return tally

    def sums(self, key: Hashable, row: Callable[[NodeState], Row]) -> Mapping[Cell, int]:
        return self.tally(key, row).sums

    def nominated_node(self, pod: Pod) -> str:
        """The node that preemption makes room on for the pod; "" when there is none."""
        return self.nominated.get(pod.metadata.uid, (pod, pod.status.nominated_node_name))[1]

    def nominated_to(self, name: str) -> list[Pod]:
        return [pod for pod, node in self.nominated.values() if node == name]

    def _touch(self, state: NodeState) -> None:
        self.generation += 1
        state.generation = self.generation
        state.shape = self._shape(state.measure())
        self.groups.put(state)
        self._recent[state.name] = None
        self._recent.move_to_end(state.name)
        if state.terms:
            self._with_terms.add(state.name)
        else:
            self._with_terms.discard(state.name)

    def _count_host(self, node: Node, change: int) -> None:
        host = node.metadata.labels.get("kubernetes.io/hostname")
        if host is not None:
            self._hosts[host] += change
            self._hosted += change
            if not self._hosts[host]:
                del self._hosts[host]

    def _shape(self, measure: tuple[object, ...]) -> Shape:
        found = self._shapes.get(measure)
        if found is None:
            if len(self._shapes) >= SHAPES_MAX:
                self._shapes.clear()
            # A generation is never reused, so it can number what first appears in it.
            found = self._shapes[measure] = Shape(self.generation)
        return found

    def _forget(self) -> None:
        """Something that every node's answers may depend on has changed."""
        self.epoch += 1
        self._kept.clear()


class Supposed:
    """A World in which one node is as it would be."""

    def __init__(self, base: Snapshot, state: NodeState) -> None:
        self._base = base
        self._state = state
        self.namespaces: terms.NamespaceLabels = base.namespaces
        self.has_terms = base.has_terms
        self.volumes = base.volumes

    @cached_property
    def nodes(self) -> Mapping[str, NodeState]:
        return {**self._base.nodes, self._state.name: self._state}

    def per_node(self, key: Hashable, answer: Callable[[NodeState], T | None]) -> Mapping[str, T]:
        found = dict(self._base.per_node(key, answer))
        found.pop(self._state.name, None)
        own = answer(self._state)
        if own is not None:
            found[self._state.name] = own
        return found

    def sums(self, key: Hashable, row: Callable[[NodeState], Row]) -> Mapping[Cell, int]:
        return self._base.tally(key, row).supposing(self._state.name, row(self._state))


def _weighs_the_same(known: Pod, pod: Pod) -> bool:
    """Does the newer picture of a placed pod change nothing that filters or scores read?"""
    return (
        pod.status.phase not in FINISHED_PHASES
        and known.metadata.labels == pod.metadata.labels
        and known.metadata.deletion_timestamp == pod.metadata.deletion_timestamp
        and wanted.of(known) is wanted.of(pod)
        and known.spec.affinity == pod.spec.affinity
    )


def differs(one: Node, other: Node) -> bool:
    """Would scheduling see the difference? Heartbeats alone make none."""
    return (
        one.metadata.labels != other.metadata.labels
        or one.spec != other.spec
        or one.status.allocatable != other.status.allocatable
        or one.status.capacity != other.status.capacity
        or one.status.images != other.status.images
    )
