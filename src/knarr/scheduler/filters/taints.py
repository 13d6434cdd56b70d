"""TaintToleration and NodeUnschedulable: does the pod tolerate what the node repels?

What a toleration covers is kinds/nodes.py's. Spec: "Taints and Tolerations".
"""

from collections.abc import Sequence

from knarr.kinds.lens.node import Node
from knarr.kinds.lens.scheduling import Taint
from knarr.kinds.nodes import is_tolerated
from knarr.scheduler.wanted import Wanted

UNSCHEDULABLE = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
REPELLING = frozenset({"NoSchedule", "NoExecute"})


def unschedulable(asked: Wanted, node: Node) -> Sequence[str]:
    """NodeUnschedulable."""
    if node.spec.unschedulable and not is_tolerated(UNSCHEDULABLE, asked.tolerations):
        return ["node(s) were unschedulable"]
    return ()


def untolerated(asked: Wanted, node: Node) -> Sequence[str]:
    """TaintToleration: the first taint that the pod does not tolerate."""
    for taint in node.spec.taints:
        if taint.effect in REPELLING and not is_tolerated(taint, asked.tolerations):
            return [f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}"]
    return ()
