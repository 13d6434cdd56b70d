"""ReplicationController: a row of the engine in replicas.py. Its selector is a plain map of labels."""

from knarr.controllers import replicas
from knarr.kinds.apps import REPLICATIONCONTROLLER
from knarr.kinds.lens.apps import ReplicationController, ReplicationControllerCondition
from knarr.kinds.lens.meta import LabelSelector


def selector(root: ReplicationController) -> LabelSelector | None:
    """The map as a LabelSelector; an empty one selects nothing here."""
    return LabelSelector(match_labels=root.spec.selector) if root.spec.selector else None


CONTROLLER = replicas.controller(
    replicas.Replicated(
        "replication-controller",
        kind=REPLICATIONCONTROLLER,
        lens=ReplicationController,
        selector=selector,
        condition=ReplicationControllerCondition,
        crowd=lambda _root, mine, _view: replicas.count_by_node(mine),
    )
)
