"""NodeState: one node with the pods placed on it and the sums that filters and scores need.

The sums are kept up as pods come and go, never recomputed. Its `generation` and `shape` are the snapshot's to set: a
later generation says that something changed, equal shapes that room and local scores are the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NewType

from knarr.kinds.lens.node import Node
from knarr.kinds.lens.pod import Pod
from knarr.scheduler import terms, wanted
from knarr.scheduler.terms import PodTerms
from knarr.scheduler.wanted import Amounts, HostPort, Wanted

FINISHED_PHASES = frozenset({"Succeeded", "Failed"})
Shape = NewType("Shape", int)
"""Numbers all that filters about room and local scores read of a node: nodes of one shape get the same answers."""


@dataclass(slots=True)
class NodeState:
    """One node, the pods on it by uid, the sums of their requests, the host ports they hold; `terms` of those pods
    that ask something of the pods around them."""

    node: Node
    name: str = field(init=False)
    allocatable: Amounts = field(init=False)
    images: Mapping[str, int] = field(init=False)
    pods: dict[str, Pod] = field(default_factory=dict)
    requested: dict[str, int] = field(default_factory=dict)
    scored: dict[str, int] = field(default_factory=dict)
    host_ports: list[HostPort] = field(default_factory=list)
    asked: dict[str, Wanted] = field(default_factory=dict)
    terms: dict[str, PodTerms] = field(default_factory=dict)
    generation: int = 0
    shape: Shape = Shape(0)
    """True as of the generation."""

    def __post_init__(self) -> None:
        self.become(self.node)

    def become(self, node: Node) -> None:
        """Take a newer picture of the node itself."""
        self.node = node
        self.name = node.metadata.name
        self.allocatable = wanted.amounts(node.status.allocatable or node.status.capacity)
        self.images = {name: image.size_bytes for image in node.status.images for name in image.names}

    def add(self, pod: Pod) -> None:
        """Place the pod; placing it again replaces what was known of it."""
        self.remove(pod.metadata.uid)
        if pod.status.phase in FINISHED_PHASES:
            return
        asked = wanted.of(pod)
        self.pods[pod.metadata.uid] = pod
        self.asked[pod.metadata.uid] = asked
        self._count(asked, 1)
        self.host_ports.extend(asked.host_ports)
        around = terms.of(pod)
        if around is not terms.NO_TERMS:
            self.terms[pod.metadata.uid] = around

    def remove(self, uid: str) -> None:
        if self.pods.pop(uid, None) is None:
            return
        asked = self.asked.pop(uid)
        self._count(asked, -1)
        for port in asked.host_ports:
            self.host_ports.remove(port)
        self.terms.pop(uid, None)

    def measure(self) -> tuple[object, ...]:
        """What makes the shape."""
        return (
            tuple(self.allocatable.items()),
            tuple(self.requested.items()),
            tuple(self.scored.items()),
            tuple(self.host_ports),
            tuple(self.images.items()),
        )

    def copy(self) -> "NodeState":
        """The same in its own containers: what is done to it does not show here."""
        twin = NodeState(self.node, dict(self.pods), dict(self.requested), dict(self.scored), [*self.host_ports])
        twin.asked, twin.terms = dict(self.asked), dict(self.terms)
        return twin

    def _count(self, asked: Wanted, sign: int) -> None:
        for name, amount in asked.requests.items():
            self.requested[name] = self.requested.get(name, 0) + sign * amount
        for name in wanted.ASSUMED:
            self.scored[name] = self.scored.get(name, 0) + sign * asked.scored.get(name, 0)
