"""NodeName and NodeAffinity: is the node one of those the pod asks for by nodeSelector and node affinity?

Spec: "Assigning Pods to Nodes". Terms are alternatives, the requirements of a term all hold; a term without any
requirement matches nothing.
"""

from collections.abc import Mapping

from knarr.kinds.lens.node import Node
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.scheduling import NodeSelectorRequirement, NodeSelectorTerm
from knarr.scheduler.snapshot import NodeState


def refusals(pod: Pod, state: NodeState) -> list[str]:
    labels = state.node.metadata.labels
    selected = all(labels.get(key) == value for key, value in pod.spec.node_selector.items())
    affinity = pod.spec.affinity and pod.spec.affinity.node_affinity
    required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
    if selected and (required is None or any(matches(term, state.node) for term in required.node_selector_terms)):
        return []
    return ["node(s) didn't match Pod's node affinity/selector"]


def matches(term: NodeSelectorTerm, node: Node) -> bool:
    """Does the node meet every requirement of the term?"""
    if not term.match_expressions and not term.match_fields:
        return False
    names = {"metadata.name": node.metadata.name}
    return all(_holds(each, node.metadata.labels) for each in term.match_expressions) and all(
        _holds(each, names) for each in term.match_fields
    )


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
