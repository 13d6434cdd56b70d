"""InterPodAffinity: does the node lie where the pod wants company, and away from whom it or they avoid?

Three questions per node, over topology domains (nodes with one value of a label): has every affinity term company
(a pod that meets all terms; nobody anywhere is enough when the pod would be its own company); has no anti-affinity
term any; does no pod there refuse this one. Spec: "Assigning Pods to Nodes: inter-pod affinity and anti-affinity".
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from knarr.kinds.lens.pod import Pod
from knarr.scheduler.asking import Asking
from knarr.scheduler.node_state import NodeState
from knarr.scheduler.snapshot import World
from knarr.scheduler.terms import PodTerms

AFFINITY = "node(s) didn't match pod affinity rules"
ANTI_AFFINITY = "node(s) didn't match pod anti-affinity rules"
EXISTING = "node(s) didn't satisfy existing pods anti-affinity rules"

Domain = tuple[str, str]
"""(topology key, value)."""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Of one node: pods that meet all affinity terms, pods per anti-affinity term, keys of terms against the pod."""

    company: int
    avoided: tuple[int, ...]
    refused_keys: tuple[str, ...]


def prepare(asking: Asking, world: World) -> Callable[[NodeState], Sequence[str]] | None:
    """The filter for one pod, or None when no rule concerns it."""
    asked = asking.terms
    if "InterPodAffinity" not in asking.profile.filters:
        return None
    if not (asked.required_affinity or asked.required_anti_affinity or world.has_terms):
        return None
    found_by_node = world.per_node(
        ("inter-pod filter", asking.key), lambda state: neighbours(asking.pod, asked, state, world)
    )
    if not found_by_node and not asked.required_affinity:
        return None
    company: Counter[Domain] = Counter()
    avoided: Counter[tuple[int, str]] = Counter()
    refused: dict[str, set[str]] = {}
    for name, found in found_by_node.items():
        labels = world.nodes[name].node.metadata.labels
        if found.company:
            keys = [term.topology_key for term in asked.required_affinity]
            company.update((key, labels[key]) for key in keys if key in labels)
        for index, (term, count) in enumerate(zip(asked.required_anti_affinity, found.avoided, strict=True)):
            if count and term.topology_key in labels:
                avoided[index, labels[term.topology_key]] += count
        for key in found.refused_keys:
            if key in labels:
                refused.setdefault(key, set()).add(labels[key])
    is_first = not company and all(term.matches(asking.pod, world.namespaces) for term in asked.required_affinity)

    def refusals(state: NodeState) -> Sequence[str]:
        labels = state.node.metadata.labels
        for term in asked.required_affinity:
            value = labels.get(term.topology_key)
            if value is None or not (is_first or company[term.topology_key, value]):
                return [AFFINITY]
        for index, term in enumerate(asked.required_anti_affinity):
            value = labels.get(term.topology_key)
            if value is not None and avoided[index, value]:
                return [ANTI_AFFINITY]
        return [EXISTING] if any(labels.get(key) in values for key, values in refused.items()) else ()

    return refusals


def neighbours(pod: Pod, asked: PodTerms, state: NodeState, world: World) -> Neighbours | None:
    namespaces = world.namespaces
    near, far = asked.required_affinity, asked.required_anti_affinity
    company, avoided = 0, [0] * len(far)
    if near or far:
        for other in state.pods.values():
            company += bool(near) and all(term.matches(other, namespaces) for term in near)
            for index, term in enumerate(far):
                avoided[index] += term.matches(other, namespaces)
    refused = {
        term.topology_key
        for theirs in state.terms.values()
        for term in theirs.required_anti_affinity
        if term.matches(pod, namespaces)
    }
    if not (company or any(avoided) or refused):
        return None
    return Neighbours(company, tuple(avoided), tuple(sorted(refused)))
