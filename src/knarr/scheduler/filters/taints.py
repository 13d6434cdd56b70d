"""TaintToleration and NodeUnschedulable: does the pod tolerate what the node repels?

What a toleration covers is kinds/nodes.py's. Spec: "Taints and Tolerations".
"""

from collections.abc import Sequence

from knarr.kinds.lens.scheduling import Taint
from knarr.kinds.nodes import is_tolerated
from knarr.scheduler.node_state import NodeState
from knarr.scheduler.wanted import Wanted

UNSCHEDULABLE = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
REPELLING = frozenset({"NoSchedule", "NoExecute"})


def refusals(asked: Wanted, state: NodeState) -> Sequence[str]:
    tolerations = asked.tolerations
    if state.node.spec.unschedulable and not is_tolerated(UNSCHEDULABLE, tolerations):
        return ["node(s) were unschedulable"]
    for taint in state.node.spec.taints:
        if taint.effect in REPELLING and not is_tolerated(taint, tolerations):
            return [f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}"]
    return ()
