"""History and undo of a Deployment."""

import pytest

from knarr.base.errors import Invalid, NotFound
from knarr.client import rollout
from knarr.client.client import Json

DEPLOYMENT: Json = {"metadata": {"name": "web", "uid": "d"}, "spec": {}}


def replica_set(revision: int, image: str, *, owner: str = "d", cause: str = "") -> Json:
    return {
        "metadata": {
            "ownerReferences": [{"uid": owner, "controller": True}],
            "annotations": {rollout.REVISION: str(revision), rollout.CHANGE_CAUSE: cause},
        },
        "spec": {
            "template": {"metadata": {"labels": {"app": "web", rollout.HASH_LABEL: image}}, "spec": {"image": image}}
        },
    }


SETS = [
    replica_set(10, "c", cause="to c"),
    replica_set(2, "a"),
    replica_set(9, "b"),
    replica_set(3, "x", owner="other"),
]


def test_history_is_in_the_order_of_numbers() -> None:
    found = rollout.history(DEPLOYMENT, SETS)
    assert [(one.number, one.change_cause) for one in found] == [(2, ""), (9, ""), (10, "to c")]


def test_undo_puts_the_template_before_the_current_back_without_its_hash() -> None:
    patch = rollout.undo(DEPLOYMENT, rollout.history(DEPLOYMENT, SETS))
    assert patch == {"spec": {"template": {"metadata": {"labels": {"app": "web"}}, "spec": {"image": "b"}}}}


def test_undo_to_a_revision_that_is_not_there_says_so() -> None:
    with pytest.raises(NotFound, match="unable to find specified revision 99 in history"):
        rollout.undo(DEPLOYMENT, rollout.history(DEPLOYMENT, SETS), 99)


def test_a_paused_deployment_is_not_undone() -> None:
    with pytest.raises(Invalid, match="paused"):
        rollout.undo({**DEPLOYMENT, "spec": {"paused": True}}, rollout.history(DEPLOYMENT, SETS))
