"""Which set is the new one, and what its annotations become."""

from knarr.controllers.deployment import revisions
from knarr.kinds.lens.apps import Deployment, DeploymentSpec, ReplicaSet, ReplicaSetSpec, ReplicaSetStatus
from knarr.kinds.lens.meta import ObjectMeta

TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c"}]}}


def replica_set(name: str, annotations: dict[str, str], replicas: int = 0) -> ReplicaSet:
    meta = ObjectMeta(name=name, annotations=annotations, generation=1)
    status = ReplicaSetStatus(replicas=replicas, observed_generation=1)
    return ReplicaSet(metadata=meta, spec=ReplicaSetSpec(replicas=replicas), status=status)


def test_a_template_is_the_same_with_and_without_its_hash() -> None:
    marked = {**TEMPLATE, "metadata": {"labels": {"app": "web", revisions.HASH_LABEL: "x"}}}
    one = replica_set("web-x", {})
    assert revisions.new_set(TEMPLATE, {"web-x": marked}, [one]) is one
    assert revisions.new_set({**TEMPLATE, "spec": {}}, {"web-x": marked}, [one]) is None


def test_a_hash_is_stable_and_changes_with_template_and_collisions() -> None:
    first = revisions.template_hash(TEMPLATE, None)
    assert first == revisions.template_hash({"spec": TEMPLATE["spec"], "metadata": TEMPLATE["metadata"]}, 0)
    assert len({first, revisions.template_hash(TEMPLATE, 1), revisions.template_hash({}, None)}) == 3


def test_an_old_set_that_becomes_new_again_is_renumbered_and_remembers() -> None:
    marks = {revisions.REVISION: "2", revisions.REVISION_HISTORY: "1"}
    deployment = Deployment(
        metadata=ObjectMeta(annotations={"kubernetes.io/change-cause": "undo", revisions.REVISION: "4"})
    )
    assert revisions.annotations(deployment, replica_set("web-x", marks), 5) == {
        "kubernetes.io/change-cause": "undo",
        revisions.REVISION: "5",
        revisions.REVISION_HISTORY: "1,2",
    }


def test_history_keeps_the_limit_and_sets_with_pods() -> None:
    deployment = Deployment(spec=DeploymentSpec(revision_history_limit=1))
    old = [replica_set(f"web-{n}", {revisions.REVISION: str(n)}, replicas=int(n == 2)) for n in (3, 1, 2, 4)]
    assert [one.metadata.name for one in revisions.surplus(deployment, old)] == ["web-1", "web-3"]


def test_a_revision_may_have_all_64_bits() -> None:
    old = [replica_set("web-a", {revisions.REVISION: "3546343826724305832"}), replica_set("web-b", {})]
    assert revisions.next_revision(old) == 3546343826724305833
    assert revisions.next_revision([replica_set("web-a", {revisions.REVISION: str(1 << 63)})]) == 1
