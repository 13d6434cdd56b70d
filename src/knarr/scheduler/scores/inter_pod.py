"""InterPodAffinity: prefer nodes near the pods it likes and that like it, away from those it or they dislike.

Every match adds its weight to the topology domain of the other pod's node; a required affinity of a placed pod counts
as the profile's weight (1). Normalised so that the best node has 100 and the worst 0.
Spec: "Inter-pod affinity and anti-affinity".
"""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

from knarr.scheduler.asking import Asking
from knarr.scheduler.node_state import NodeState
from knarr.scheduler.snapshot import World

K = TypeVar("K", bound=Hashable)


def scores(asking: Asking, world: World, fitting: Sequence[str]) -> Mapping[str, int] | None:
    """0…100 per fitting node; None when no preference concerns the pod."""
    if not asking.profile.weight("InterPodAffinity") or not (asking.terms.preferred or world.has_terms):
        return None
    weights: Counter[tuple[str, str]] = Counter()
    for name, by_key in world.per_node(("inter-pod score", asking.key), weigher(asking, world)).items():
        labels = world.nodes[name].node.metadata.labels
        for key, weight in by_key.items():
            if key in labels:
                weights[key, labels[key]] += weight
    if not weights:
        return None
    keys = {key for key, _ in weights}
    raw = {name: _near(world.nodes[name], keys, weights) for name in fitting}
    return normalised(raw)


def normalised(raw: Mapping[K, int]) -> dict[K, int]:
    least, most = min(raw.values()), max(raw.values())
    return {name: 100 * (score - least) // (most - least) if most > least else 0 for name, score in raw.items()}


def _near(state: NodeState, keys: set[str], weights: Mapping[tuple[str, str], int]) -> int:
    labels = state.node.metadata.labels
    return sum(weights.get((key, labels[key]), 0) for key in keys if key in labels)


def weigher(asking: Asking, world: World) -> Callable[[NodeState], Counter[str] | None]:
    """The sum of weights by topology key, of one node's pods; None when there is none."""
    pod, preferred, namespaces = asking.pod, asking.terms.preferred, world.namespaces
    hard = asking.profile.hard_pod_affinity_weight
    ignores_theirs = asking.profile.ignores_preferred_terms_of_existing_pods and not preferred

    def weigh(state: NodeState) -> Counter[str] | None:
        found: Counter[str] = Counter()
        if preferred:
            for other in state.pods.values():
                for term in preferred:
                    if term.matches(other, namespaces):
                        found[term.topology_key] += term.weight
        for theirs in state.terms.values():
            for term in () if ignores_theirs else theirs.preferred:
                if term.matches(pod, namespaces):
                    found[term.topology_key] += term.weight
            for term in theirs.required_affinity if hard else ():
                if term.matches(pod, namespaces):
                    found[term.topology_key] += hard
        return found or None

    return weigh
