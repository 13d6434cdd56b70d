"""NodeAffinity: is the node one of those the pod asks for by nodeSelector and node affinity?

A profile may add an affinity of its own to every pod. What a term matches is kinds/nodes.py's.
Spec: "Assigning Pods to Nodes", "Node affinity per scheduling profile".
"""

from collections.abc import Sequence

from knarr.kinds.lens.node import Node
from knarr.kinds.lens.scheduling import NodeAffinity
from knarr.kinds.nodes import matches
from knarr.scheduler.wanted import Wanted

REASON = "node(s) didn't match Pod's node affinity/selector"
ENFORCED = "node(s) didn't match scheduler-enforced node affinity"


def refusals(asked: Wanted, node: Node, added: NodeAffinity | None = None) -> Sequence[str]:
    if added is not None:
        required = added.required_during_scheduling_ignored_during_execution
        if required is not None and not any(matches(term, node) for term in required.node_selector_terms):
            return [ENFORCED]
    return () if is_meant(asked, node) else [REASON]


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
