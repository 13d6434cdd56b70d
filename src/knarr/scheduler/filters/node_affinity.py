"""NodeAffinity: is the node one of those the pod asks for by nodeSelector and node affinity?

What a term matches is kinds/nodes.py's. Spec: "Assigning Pods to Nodes".
"""

from collections.abc import Sequence

from knarr.kinds.lens.node import Node
from knarr.kinds.nodes import matches
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
