"""Wanted: what a pod asks of the node itself, compiled once per template.

Pods of one workload ask the same; `of(pod)` gives them the same `Wanted`, so what was found out about a node for one of
them holds for all (standings.py). What a pod asks of other pods is terms.py's.
Requests are integers: CPU in thousandths of a core, everything else in its own unit.
Spec: "Resource Management for Pods and Containers" (init containers, sidecars, pod-level resources, overhead).
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from knarr.base.errors import Invalid
from knarr.kinds.lens.container import Container
from knarr.kinds.lens.pod import Pod, PodSpec
from knarr.kinds.lens.scheduling import NodeAffinity, NodeSelector, PreferredSchedulingTerm, Toleration
from knarr.objects import quantity
from knarr.oci import reference

Amounts = Mapping[str, int]
HostPort = tuple[str, int, str]
"""(protocol, port, host address; "0.0.0.0" is every address)."""
ASSUMED: Final[Amounts] = {"cpu": 100, "memory": 200 * 1024 * 1024}
"""What a container that requests nothing counts as when nodes are compared; upstream's numbers."""
TEMPLATES_MAX: Final = 4096


class Part(msgspec.Struct, frozen=True, array_like=True):
    """What scheduling reads of one container."""

    image: str
    requests: dict[str, str]
    ports: tuple[HostPort, ...]
    is_sidecar: bool


class Template(msgspec.Struct, frozen=True, array_like=True):
    """What scheduling reads of a pod's spec; its encoding is the key under which answers are kept."""

    containers: tuple[Part, ...]
    init_containers: tuple[Part, ...]
    pod_requests: dict[str, str]
    overhead: dict[str, str]
    node_selector: dict[str, str]
    node_affinity: NodeAffinity | None
    tolerations: tuple[Toleration, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """`requests` decide whether the pod fits; `scored` also counts what containers left unsaid."""

    requests: Amounts
    scored: Amounts
    host_ports: tuple[HostPort, ...]
    images: tuple[frozenset[str], ...]
    """Per container the names under which a node may list its image."""
    node_selector: Mapping[str, str]
    required: NodeSelector | None
    preferred: tuple[PreferredSchedulingTerm, ...]
    tolerations: tuple[Toleration, ...]


def of(pod: Pod) -> Wanted:
    """What the pod asks; the same value for pods that ask the same."""
    return _compiled(msgspec.json.encode(template(pod.spec)))


def template(spec: PodSpec) -> Template:
    return Template(
        tuple([_part(container) for container in spec.containers]),
        tuple([_part(container) for container in spec.init_containers]),
        spec.resources.requests if spec.resources else {},
        spec.overhead,
        spec.node_selector,
        spec.affinity.node_affinity if spec.affinity else None,
        spec.tolerations,
    )


def _part(container: Container) -> Part:
    ports = tuple(
        [
            (port.protocol or "TCP", port.host_port, port.host_ip or "0.0.0.0")  # noqa: S104  absent means every address
            for port in container.ports
            if port.host_port
        ]
    )
    return Part(container.image, container.resources.requests, ports, container.restart_policy == "Always")


_decoder = msgspec.json.Decoder(Template)


@functools.lru_cache(TEMPLATES_MAX)
def _compiled(encoded: bytes) -> Wanted:
    asked = _decoder.decode(encoded)
    affinity = asked.node_affinity
    parts = (*asked.containers, *asked.init_containers)
    return Wanted(
        requests=requests(asked),
        scored=requests(asked, assumed=ASSUMED),
        host_ports=tuple(port for part in parts for port in part.ports),
        images=tuple(_names(part.image) for part in parts),
        node_selector=asked.node_selector,
        required=affinity.required_during_scheduling_ignored_during_execution if affinity else None,
        preferred=affinity.preferred_during_scheduling_ignored_during_execution if affinity else (),
        tolerations=asked.tolerations,
    )


def _names(image: str) -> frozenset[str]:
    """As written and in normal form."""
    try:
        return frozenset((image, str(reference.parse(image))))
    except Invalid:
        return frozenset((image,))


def amounts(quantities: Mapping[str, str]) -> dict[str, int]:
    """Quantities as integers: milli-units for cpu, units (rounded up) for all others."""
    return {name: quantity.milli(text) if name == "cpu" else quantity.whole(text) for name, text in quantities.items()}


def requests(asked: Template, assumed: Amounts | None = None) -> dict[str, int]:
    """The larger of (all that runs together) and (the worst moment of initialising); what the pod itself requests
    stands in the place of its containers' sum; overhead comes on top. `assumed` fills what a container left unsaid."""
    unsaid = assumed or {}
    running = _sum({**unsaid, **amounts(part.requests)} for part in asked.containers)
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for part in asked.init_containers:
        own = {**unsaid, **amounts(part.requests)}
        if part.is_sidecar:
            sidecars = _sum([sidecars, own])
            peak = _largest(peak, sidecars)
        else:
            peak = _largest(peak, _sum([sidecars, own]))
    total = {**_largest(_sum([running, sidecars]), peak), **amounts(asked.pod_requests)}
    return _sum([total, amounts(asked.overhead), {"pods": 1}])


def _sum(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for name, amount in part.items():
            total[name] = total.get(name, 0) + amount
    return total


def _largest(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: max(one.get(name, 0), other.get(name, 0)) for name in {**one, **other}}
