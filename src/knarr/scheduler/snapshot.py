"""Snapshot: what the scheduler knows of the nodes when it decides about one pod.

A `NodeState` is a node with the pods placed on it and the sums that filters and scores need, kept up as pods come and
go, never recomputed. Requests are integers: CPU in thousandths of a core, everything else in its own unit.
Spec: "Resource Management for Pods and Containers" (init containers, sidecars and overhead).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from knarr.kinds.lens.container import Container
from knarr.kinds.lens.node import Node
from knarr.kinds.lens.pod import Pod, PodSpec
from knarr.objects import quantity

Amounts = Mapping[str, int]
HostPort = tuple[str, int, str]
"""(protocol, port, host address; "0.0.0.0" is every address)."""
FINISHED_PHASES = frozenset({"Succeeded", "Failed"})


@dataclass(slots=True)
class NodeState:
    """One node, the pods on it by uid, the sum of their requests and the host ports they hold."""

    node: Node
    pods: dict[str, Pod] = field(default_factory=dict)
    requested: dict[str, int] = field(default_factory=dict)
    host_ports: list[HostPort] = field(default_factory=list)

    @property
    def allocatable(self) -> dict[str, int]:
        return amounts(self.node.status.allocatable or self.node.status.capacity)

    def add(self, pod: Pod) -> None:
        """Place the pod; placing it again replaces what was known of it."""
        self.remove(pod.metadata.uid)
        if pod.status.phase in FINISHED_PHASES:
            return
        self.pods[pod.metadata.uid] = pod
        for name, amount in requests(pod.spec).items():
            self.requested[name] = self.requested.get(name, 0) + amount
        self.host_ports.extend(host_ports(pod.spec))

    def remove(self, uid: str) -> None:
        pod = self.pods.pop(uid, None)
        if pod is None:
            return
        for name, amount in requests(pod.spec).items():
            self.requested[name] -= amount
        for port in host_ports(pod.spec):
            self.host_ports.remove(port)


Snapshot = Mapping[str, NodeState]
"""Node states by node name."""


def amounts(quantities: Mapping[str, str]) -> dict[str, int]:
    """Quantities as integers: milli-units for cpu, units (rounded up) for all others."""
    return {name: quantity.milli(text) if name == "cpu" else quantity.whole(text) for name, text in quantities.items()}


def requests(spec: PodSpec) -> dict[str, int]:
    """What the pod asks of its node: the larger of (all that runs together) and (the worst moment of initialising)."""
    running = _sum([_requested(container) for container in spec.containers])
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.init_containers:
        if container.restart_policy == "Always":
            sidecars = _sum([sidecars, _requested(container)])
            peak = _largest(peak, sidecars)
        else:
            peak = _largest(peak, _sum([sidecars, _requested(container)]))
    total = _largest(_sum([running, sidecars]), peak)
    return _sum([total, amounts(spec.overhead), {"pods": 1}])


def host_ports(spec: PodSpec) -> list[HostPort]:
    return [
        (port.protocol or "TCP", port.host_port, port.host_ip or "0.0.0.0")  # noqa: S104  an absent address means all
        for container in (*spec.containers, *spec.init_containers)
        for port in container.ports
        if port.host_port
    ]


def _requested(container: Container) -> dict[str, int]:
    return amounts(container.resources.requests)


def _sum(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, amount in part.items():
            total[name] = total.get(name, 0) + amount
    return total


def _largest(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {**one, **other}}
