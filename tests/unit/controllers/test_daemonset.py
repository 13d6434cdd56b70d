"""DaemonSet: which of a node's pods counts, what surges, and how long a pod that fails again and again stays."""

from datetime import UTC, datetime, timedelta

from knarr.controllers import daemonset
from knarr.controllers.controller import Create, Delete
from knarr.controllers.daemonfailures import Failures
from knarr.controllers.daemonset import Picture, Wanted
from knarr.kinds.lens.meta import ObjectMeta
from knarr.kinds.lens.node import Node
from knarr.kinds.lens.pod import Pod, PodSpec
from knarr.kinds.lens.pod_status import PodCondition, PodStatus
from knarr.kinds.lens.sets import DaemonSet, DaemonSetSpec, DaemonSetUpdateStrategy, RollingUpdateDaemonSet

NOW = datetime(2030, 1, 1, tzinfo=UTC)
PLACE = ("d", 1, "n")


def pod(name: str, revision: str, *, ready: bool = True, phase: str = "Running", minutes: int = 0) -> Pod:
    labels = {"controller-revision-hash": revision}
    created = NOW - timedelta(minutes=minutes)
    return Pod(
        metadata=ObjectMeta(name=name, uid=name, namespace="a", labels=labels, creation_timestamp=created),
        spec=PodSpec(node_name=name[0]),
        status=PodStatus(phase=phase, conditions=(PodCondition(type="Ready", status=str(ready)),)),
    )


def picture(*found: Pod, surge: int = 0, held: dict[str, datetime] | None = None) -> Picture:
    rolling = RollingUpdateDaemonSet(max_surge=surge, max_unavailable=0 if surge else 1)
    strategy = DaemonSetUpdateStrategy(type="RollingUpdate", rolling_update=rolling)
    by_node: dict[str, list[Pod]] = {}
    for one in found:
        by_node.setdefault(one.spec.node_name, []).append(one)
    return Picture(
        DaemonSet(metadata=ObjectMeta(name="d", namespace="a"), spec=DaemonSetSpec(update_strategy=strategy)),
        [Node(metadata=ObjectMeta(name=name)) for name in by_node],
        dict.fromkeys(by_node, Wanted(True, True)),
        by_node,
        "new",
        NOW,
        held or {},
    )


def test_a_node_counts_by_its_oldest_pod() -> None:
    counts = daemonset.status(picture(pod("m-new", "new", ready=False), pod("m-old", "old", minutes=5), surge=1), None)
    assert (counts["numberReady"], counts["numberAvailable"], counts.get("updatedNumberScheduled", 0)) == (1, 1, 0)


def test_only_pods_beside_an_available_one_are_limited_by_surge() -> None:
    sick = [pod("m-old", "old", ready=False), pod("n-old", "old", ready=False)]
    well = [pod("o-old", "old"), pod("p-old", "old")]
    actions = daemonset.updating(picture(*sick, *well, surge=1), {})
    assert [type(one) for one in actions] == [Create] * 3


def test_a_pod_that_ended_well_is_replaced_too() -> None:
    (action,) = daemonset.placing(picture(pod("m-1", "new", phase="Succeeded")), {})
    assert isinstance(action, Delete)
    assert action.note is not None
    assert (action.note.reason, action.note.message) == (
        "SucceededDaemonPod",
        "Found succeeded daemon pod a/m-1 on node m, will try to delete it",
    )


def test_a_failed_pod_that_is_held_stays() -> None:
    assert daemonset.placing(picture(pod("m-1", "new", phase="Failed"), held={"m-1": NOW}), {}) == []


def test_each_failure_on_a_node_waits_twice_as_long() -> None:
    failures, now, waits = Failures(), NOW, []
    for number in range(12):
        failed = pod(f"m-{number}", "new", phase="Failed")
        due = failures.due(PLACE, failed, now)
        assert failures.due(PLACE, failed, now + timedelta(seconds=5)) == due
        waits.append((due - now).total_seconds())
        now = due
    assert waits == [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900]
    assert failures.due(("d", 2, "n"), pod("m-x", "new", phase="Failed"), now) == now


def test_two_failed_pods_of_a_node_keep_their_moments() -> None:
    failures, pair = Failures(), [pod("m-1", "new", phase="Failed"), pod("m-2", "new", phase="Failed")]
    first = [failures.due(PLACE, one, NOW) for one in pair]
    assert first == [NOW, NOW + timedelta(seconds=1)]
    for second in range(5):
        assert [failures.due(PLACE, one, NOW + timedelta(seconds=second)) for one in pair] == first


def test_no_failed_pod_waits_longer_than_the_longest_back_off() -> None:
    failures = Failures()
    waits = [failures.due(PLACE, pod(f"m-{number}", "new", phase="Failed"), NOW) - NOW for number in range(100)]
    assert max(waits) == timedelta(seconds=900)
    assert waits[-1] == timedelta(0)
