"""Does a node match a required node affinity: terms are alternatives, their expressions must all hold.

Spec: "Assigning Pods to Nodes: node affinity". The scheduler has its own filter with reasons; this is the bare answer.
"""

from collections.abc import Mapping

from knarr.kinds.lens.node import Node
from knarr.kinds.lens.scheduling import Affinity, NodeSelectorRequirement


def matches_affinity(affinity: Affinity | None, node: Node) -> bool:
    """Whether the node is among those that the affinity requires; without one, every node is."""
    if affinity is None or affinity.node_affinity is None:
        return True
    required = affinity.node_affinity.required_during_scheduling_ignored_during_execution
    if required is None:
        return True
    fields = {"metadata.name": node.metadata.name}
    return any(
        (term.match_expressions or term.match_fields)
        and all(_holds(one, node.metadata.labels) for one in term.match_expressions)
        and all(_holds(one, fields) for one in term.match_fields)
        for term in required.node_selector_terms
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
            limit = requirement.values[0] if requirement.values else ""
            if value is None or not value.lstrip("-").isdigit() or not limit.lstrip("-").isdigit():
                return False
            return int(value) > int(limit) if requirement.operator == "Gt" else int(value) < int(limit)
        case _:
            return False
