"""TaintToleration and NodeUnschedulable: does the pod tolerate what the node repels?

Spec: "Taints and Tolerations". An empty key with Exists tolerates everything; an empty effect matches all effects.
"""

from collections.abc import Sequence

from knarr.kinds.lens.scheduling import Taint, Toleration
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


def is_tolerated(taint: Taint, tolerations: tuple[Toleration, ...]) -> bool:
    return any(_tolerates(toleration, taint) for toleration in tolerations)


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and (toleration.value or "") == taint.value
