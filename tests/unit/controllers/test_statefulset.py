"""StatefulSet: what is done for each ordinal, and what its status counts."""

from datetime import UTC, datetime

import msgspec

from knarr.base.ids import Revision
from knarr.client.cache import Cache
from knarr.client.client import Json
from knarr.controllers import history
from knarr.controllers.controller import Create, Delete, Patch
from knarr.controllers.statefulset import identity, sync
from knarr.controllers.statefulset.identity import Version
from knarr.kinds.core_pod import POD
from knarr.kinds.core_storage import PERSISTENTVOLUMECLAIM
from knarr.kinds.lens.meta import ObjectMeta
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.pod_status import PodCondition, PodStatus
from knarr.kinds.lens.sets import StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy

NOW = datetime(2030, 1, 1, tzinfo=UTC)
NEW, OLD = Version("db-new", {}), Version("db-old", {})
CLAIM: Json = {"metadata": {"name": "work"}, "spec": {}}


def pod(number: int, *, ready: bool = True, phase: str = "Running", version: str = "db-new", ends: bool = False) -> Pod:
    name = f"db-{number}"
    labels = {history.HASH: version, "statefulset.kubernetes.io/pod-name": name}
    return Pod(
        metadata=ObjectMeta(
            name=name, uid=name, namespace="a", labels=labels, deletion_timestamp=NOW if ends else None
        ),
        status=PodStatus(phase=phase, conditions=(PodCondition(type="Ready", status=str(ready)),)),
    )


def picture(*pods: Pod, replicas: int, policy: str = "OrderedReady", claims: tuple[Json, ...] = ()) -> sync.Picture:
    spec = StatefulSetSpec(
        replicas=replicas,
        pod_management_policy=policy,
        update_strategy=StatefulSetUpdateStrategy(type="RollingUpdate"),
    )
    root = StatefulSet(metadata=ObjectMeta(name="db", namespace="a", uid="s"), spec=spec)
    by_ordinal = {int(one.metadata.name[3:]): one for one in pods}
    return sync.Picture(root, by_ordinal, OLD, NEW, claims, NOW)


def view(*claims: str) -> Cache:
    cache = Cache([POD, PERSISTENTVOLUMECLAIM])
    made = [msgspec.json.encode({"metadata": {"name": name, "namespace": "a", "uid": name}}) for name in claims]
    cache.replace(PERSISTENTVOLUMECLAIM, made, Revision(1))
    cache.replace(POD, [], Revision(1))
    return cache


def done(found: sync.Picture, *claims: str) -> list[tuple[str, str]]:
    """The actions, each as its verb and name."""
    names = []
    for one in sync.steps(found, view(*claims)):
        match one:
            case Create():
                names.append(("create", one.body["metadata"]["name"]))
            case Delete() | Patch():
                names.append((type(one).__name__.lower(), one.name))
    return names


def test_a_pending_pod_gets_the_claims_that_it_lacks() -> None:
    waiting = picture(pod(0, phase="Pending", ready=False), replicas=1, claims=(CLAIM,))
    assert done(waiting) == [("create", "work-db-0")]
    assert done(waiting, "work-db-0") == []


def test_a_pod_without_its_name_as_label_gets_it() -> None:
    nameless = pod(0)
    nameless = msgspec.structs.replace(nameless, metadata=msgspec.structs.replace(nameless.metadata, labels={}))
    assert done(picture(nameless, replicas=1)) == [("patch", "db-0")]


def test_a_condemned_pod_that_is_not_ready_waits_for_those_before_it() -> None:
    assert done(picture(pod(0), pod(1, ready=False), pod(2, ready=False), replicas=1)) == []
    assert done(picture(pod(0), pod(1), pod(2, ready=False), replicas=1)) == [("delete", "db-2")]
    assert done(picture(pod(0), pod(1, ready=False), pod(2), replicas=1)) == [("delete", "db-2")]
    both = picture(pod(0), pod(1, ready=False), pod(2, ready=False), replicas=1, policy="Parallel")
    assert done(both) == [("delete", "db-2"), ("delete", "db-1")]


def test_an_update_waits_for_the_pod_that_is_ending() -> None:
    rolling = picture(pod(0, version="db-old", ready=False), pod(1, version="db-old", ends=True), replicas=2)
    assert list(sync.updates(rolling)) == []


def test_a_pod_that_ended_well_is_recreated_without_a_warning() -> None:
    (action,) = sync.steps(picture(pod(0, phase="Succeeded", ready=False), replicas=1), view())
    assert isinstance(action, Delete)
    assert action.note is not None
    assert (action.note.type, action.note.reason, action.note.message) == (
        "Normal",
        "RecreatingTerminatedPod",
        "StatefulSet a/db is recreating terminated Pod db-0",
    )


def test_ready_pods_count_until_they_are_gone() -> None:
    found = history.History((), "db-new", (), None)
    counts = sync.status(picture(pod(0), pod(1, ends=True), replicas=1), found)
    assert (counts["replicas"], counts["readyReplicas"], counts["updatedReplicas"]) == (2, 2, 1)


def test_pods_tell_the_name_of_their_revision_as_the_status_does() -> None:
    root = picture(replicas=1).stateful_set
    labels = identity.pod_body(root, NEW, 0, ())["metadata"]["labels"]
    found = history.History((), "db-new", (), None)
    counts = sync.status(picture(pod(0), replicas=1), found)
    assert labels[history.HASH] == counts["updateRevision"] == counts["currentRevision"] == "db-new"


def test_a_name_that_leaves_no_room_is_left_out_of_the_label() -> None:
    name = "d" * 60
    root = msgspec.structs.replace(
        picture(replicas=1).stateful_set, metadata=ObjectMeta(name=name, namespace="a", uid="s")
    )
    body = identity.pod_body(root, Version(f"{name}-new", {}), 0, ())
    assert body["metadata"]["labels"][history.HASH] == "new"
    assert identity.version_of(msgspec.convert(body, Pod), name) == f"{name}-new"


def test_pods_that_tell_a_hash_alone_are_not_updated_again() -> None:
    counts = sync.status(picture(pod(0, version="new"), replicas=1), history.History((), "db-new", (), None))
    assert (counts["updatedReplicas"], counts["currentReplicas"]) == (1, 1)
