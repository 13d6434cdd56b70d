"""TaintToleration: how many PreferNoSchedule taints of a node the pod does not tolerate; the fewer the better."""

from knarr.kinds.lens.node import Node
from knarr.kinds.nodes import is_tolerated
from knarr.scheduler.wanted import Wanted


def disliked(asked: Wanted, node: Node) -> int:
    return sum(
        taint.effect == "PreferNoSchedule" and not is_tolerated(taint, asked.tolerations) for taint in node.spec.taints
    )
