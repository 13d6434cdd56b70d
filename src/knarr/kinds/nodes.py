"""Nodes and pods: does a node match what a pod asks for, does a pod tolerate what a node repels? Pure, over lenses.

The scheduler, the DaemonSet controller and taint eviction ask the same questions. "Assigning Pods to Nodes": terms
are alternatives, the requirements of a term all hold, a term without any matches nothing. "Taints and Tolerations": an
empty key with Exists tolerates everything, an empty effect matches all effects.
"""

from collections.abc import Mapping

from knarr.kinds.lens.node import Node
from knarr.kinds.lens.scheduling import Affinity, NodeSelectorRequirement, NodeSelectorTerm, Taint, Toleration


def matches_affinity(affinity: Affinity | None, node: Node) -> bool:
    """Whether the node is among those that the affinity requires; without one, every node is."""
    if affinity is None or affinity.node_affinity is None:
        return True
    required = affinity.node_affinity.required_during_scheduling_ignored_during_execution
    return required is None or any(matches(term, node) for term in required.node_selector_terms)


def matches(term: NodeSelectorTerm, node: Node) -> bool:
    """Whether the node meets every requirement of the term."""
    if not term.match_expressions and not term.match_fields:
        return False
    names = {"metadata.name": node.metadata.name}
    return all(_holds(each, node.metadata.labels) for each in term.match_expressions) and all(
        _holds(each, names) for each in term.match_fields
    )


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Whether one toleration covers one taint."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and (toleration.value or "") == taint.value


def is_tolerated(taint: Taint, tolerations: tuple[Toleration, ...]) -> bool:
    return any(tolerates(toleration, taint) for toleration in tolerations)


def _holds(requirement: NodeSelectorRequirement, labels: Mapping[str, str]) -> bool:
    value = labels.get(requirement.key)
    match requirement.operator:
        case "In":
            return value in requirement.values
        case "NotIn":
            return value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            return _compares(value, requirement)
        case _:
            return False


def _compares(value: str | None, requirement: NodeSelectorRequirement) -> bool:
    try:
        left, right = int(value or ""), int(requirement.values[0])
    except (ValueError, IndexError):
        return False
    return left > right if requirement.operator == "Gt" else left < right
