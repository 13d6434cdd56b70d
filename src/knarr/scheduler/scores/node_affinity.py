"""NodeAffinity: the weight of the preferred terms that a node meets; normalised over the nodes in question."""

from knarr.kinds.nodes import matches
from knarr.scheduler.node_state import NodeState
from knarr.scheduler.wanted import Wanted


def weight(asked: Wanted, state: NodeState) -> int:
    return sum(term.weight for term in asked.preferred if matches(term.preference, state.node))
