"""TaintToleration: how many PreferNoSchedule taints of a node the pod does not tolerate; the fewer the better."""

from knarr.kinds.nodes import is_tolerated
from knarr.scheduler.node_state import NodeState
from knarr.scheduler.wanted import Wanted


def disliked(asked: Wanted, state: NodeState) -> int:
    return sum(
        taint.effect == "PreferNoSchedule" and not is_tolerated(taint, asked.tolerations)
        for taint in state.node.spec.taints
    )
