"""ReplicaSet: a row of the engine in replicas.py. Pods of sets with the same Deployment count as one crowd."""

from collections.abc import Mapping, Sequence

from knarr.client.view import View
from knarr.controllers import claims, replicas
from knarr.kinds.apps import REPLICASET
from knarr.kinds.lens.apps import ReplicaSet, ReplicaSetCondition
from knarr.kinds.lens.pod import Pod


def crowd(replica_set: ReplicaSet, mine: Sequence[Pod], view: View) -> Mapping[str, int]:
    """Pods per node, those of sibling sets included: doubled-up pods die first."""
    owner = claims.controller_of(replica_set.metadata)
    if owner is None:
        return replicas.count_by_node(mine)
    siblings = view.owned(ReplicaSet, owner.uid)
    return replicas.count_by_node([pod for sibling in siblings for pod in view.owned(Pod, sibling.metadata.uid)])


CONTROLLER = replicas.controller(
    replicas.Replicated(
        "replicaset-controller",
        kind=REPLICASET,
        lens=ReplicaSet,
        selector=lambda root: root.spec.selector,
        condition=ReplicaSetCondition,
        crowd=crowd,
    )
)
