"""NodeAffinity: the weight of the preferred terms that a node meets; normalised over the nodes in question."""

from knarr.kinds.lens.node import Node
from knarr.kinds.lens.scheduling import NodeAffinity
from knarr.kinds.nodes import matches
from knarr.scheduler.wanted import Wanted


def weight(asked: Wanted, node: Node, added: NodeAffinity | None = None) -> int:
    """`added` is the profile's own affinity."""
    terms = asked.preferred
    if added is not None:
        terms = (*terms, *added.preferred_during_scheduling_ignored_during_execution)
    return sum(term.weight for term in terms if matches(term.preference, node))
