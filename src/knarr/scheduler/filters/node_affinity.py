"""NodeAffinity: is the node one of those the pod asks for by nodeSelector and node affinity?

Spec: "Assigning Pods to Nodes". Terms are alternatives, the requirements of a term all hold; a term without any
requirement matches nothing.
"""

from collections.abc import Mapping, Sequence

from knarr.kinds.lens.node import Node
from knarr.kinds.lens.scheduling import NodeSelectorRequirement, NodeSelectorTerm
from knarr.scheduler.node_state import NodeState
from knarr.scheduler.wanted import Wanted

REASON = "node(s) didn't match Pod's node affinity/selector"


def refusals(asked: Wanted, state: NodeState) -> Sequence[str]:
    return () if is_meant(asked, state.node) else [REASON]


def is_meant(asked: Wanted, node: Node) -> bool:
    labels = node.metadata.labels
    if asked.node_selector and not all(labels.get(key) == value for key, value in asked.node_selector.items()):
        return False
    return asked.required is None or any(matches(term, node) for term in asked.required.node_selector_terms)


def named_nodes(asked: Wanted) -> frozenset[str] | None:
    """The only nodes that can match when every term names some (DaemonSet pods); None when any may."""
    if asked.required is None:
        return None
    names: set[str] = set()
    for term in asked.required.node_selector_terms:
        fields = [each.values for each in term.match_fields if (each.key, each.operator) == ("metadata.name", "In")]
        if not fields:
            return None
        names.update(fields[0])
    return frozenset(names)


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
