"""Who is decided next, and which change wakes whom."""

from datetime import UTC, datetime, timedelta

from knarr.base.backoff import BackoffRule
from knarr.kinds.lens.pod import Pod
from knarr.scheduler.asking import Asking
from knarr.scheduler.queue import Queue
from knarr.scheduler.schedule import Unschedulable, schedule
from knarr.scheduler.snapshot import Snapshot
from tests.unit.scheduler.building import node, pod, required, term

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def queue_with(snapshot: Snapshot, *pods: Pod) -> Queue:
    """All of them were decided and refused."""
    queue = Queue(BackoffRule(first=1.0, cap=10.0))
    for each in pods:
        outcome = schedule(each, snapshot)
        assert isinstance(outcome, Unschedulable)
        queue.refuse(("default", each.metadata.name), Asking(each), outcome, NOW)
    return queue


def waiting(queue: Queue, seconds: float = 0) -> list[str]:
    return [key[1] for key, _ in queue.in_order(NOW + timedelta(seconds=seconds))]


def test_priority_comes_first_then_age_then_name() -> None:
    queue = Queue(BackoffRule(first=1.0, cap=10.0))
    old, new = ({"creationTimestamp": f"2030-01-01T00:00:0{second}Z"} for second in (1, 2))
    for each in (pod("c", metadata=new), pod("b", metadata=old), pod("a", metadata=new), pod("z", priority=9)):
        queue.put(("default", each.metadata.name), each)
    assert waiting(queue) == ["z", "b", "a", "c"]


def test_pods_that_back_off_come_after_the_ready_ones_whatever_their_priority() -> None:
    snapshot = Snapshot([node("a")])
    queue = queue_with(snapshot, pod("huge", cpu="8", priority=100))
    queue.flush()
    queue.put(("default", "small"), pod("small"))
    assert waiting(queue) == ["small", "huge"]
    assert waiting(queue, seconds=2) == ["huge", "small"]


def test_only_the_pod_that_fits_the_node_that_eased_is_tried_again() -> None:
    snapshot = Snapshot([node("a", "", pod("x", cpu="2"))])
    queue = queue_with(snapshot, pod("big", cpu="2"), pod("huge", cpu="8"))
    assert not queue.reconsider(snapshot)
    snapshot.remove("x", "a")
    queue.node_eased("a")
    assert queue.reconsider(snapshot)
    assert waiting(queue) == ["big"]


def test_pods_that_come_wake_those_that_want_company_alone() -> None:
    snapshot = Snapshot([node("a")])
    lonely = pod("lonely", affinity=required("podAffinity", term("db")))
    queue = queue_with(snapshot, lonely, pod("huge", cpu="8"))
    queue.pods_moved()
    assert queue.reconsider(snapshot)
    assert waiting(queue) == ["lonely"]


def test_a_new_node_wakes_whom_it_suits() -> None:
    snapshot = Snapshot([node("a")])
    queue = queue_with(snapshot, pod("huge", cpu="8"), pod("gpu", gpu="1"))
    snapshot.put(node("b", allocatable={"cpu": "8"}))
    queue.node_eased("b", is_itself=True)
    assert queue.reconsider(snapshot)
    assert waiting(queue) == ["huge"]


def test_a_pod_that_changed_is_ready_at_once() -> None:
    snapshot = Snapshot([node("a")])
    queue = queue_with(snapshot, pod("huge", cpu="8"))
    queue.put(("default", "huge"), pod("huge", cpu="1"))
    queue.put(("default", "ready"), pod("ready"))
    assert waiting(queue) == ["huge", "ready"]
