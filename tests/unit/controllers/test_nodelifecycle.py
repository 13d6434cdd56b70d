"""A silent node, its taints, and the pods that must leave it."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from knarr.base.ids import Revision
from knarr.client.cache import Cache
from knarr.controllers import nodelifecycle
from knarr.controllers.controller import Delete, Patch
from knarr.kinds.core_config import LEASE, NODE
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.node import Node, NodeCondition, NodeSpec, NodeStatus
from knarr.kinds.lens.pod import Pod, PodSpec
from knarr.kinds.lens.scheduling import Taint, Toleration

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=1)


def view(*, renewed: datetime, ready: str = "True") -> Cache:
    cache = Cache([NODE, LEASE, POD])
    conditions = [{"type": "Ready", "status": ready}]
    node = {"metadata": {"name": "n", "uid": "n", "resourceVersion": "1"}, "status": {"conditions": conditions}}
    lease = {"metadata": {"name": "n", "namespace": nodelifecycle.LEASES}, "spec": {"renewTime": renewed}}
    status = {"conditions": [{"type": "Ready", "status": "True"}]}
    pod = {"metadata": {"name": "p", "namespace": "a", "uid": "p"}, "spec": {"nodeName": "n"}, "status": status}
    for kind, content in ((NODE, node), (LEASE, lease), (POD, pod)):
        cache.replace(kind, [msgspec.json.encode(content)], Revision(1))
    return cache


def node_of(cache: Cache) -> Node:
    node = cache.get(Node, "", "n")
    assert node is not None
    return node


def test_a_node_that_speaks_is_looked_at_again_when_its_grace_ends() -> None:
    cache = view(renewed=NOW - timedelta(seconds=20))
    found = nodelifecycle.plan(node_of(cache), cache, NOW, LONG_AGO)
    assert (list(found.actions), found.status, found.again_at) == ([], None, NOW + timedelta(seconds=30))


def test_a_silent_node_is_unknown_tainted_and_its_pods_are_not_ready() -> None:
    cache = view(renewed=NOW - timedelta(seconds=51))
    found = nodelifecycle.plan(node_of(cache), cache, NOW, LONG_AGO)
    taint, pod = found.actions
    assert isinstance(taint, Patch)
    assert [(one["key"], one["effect"]) for one in taint.body["spec"]["taints"]] == [
        (nodelifecycle.UNREACHABLE, "NoSchedule"),
        (nodelifecycle.UNREACHABLE, "NoExecute"),
    ]
    assert isinstance(pod, Patch)
    assert pod.body["status"]["conditions"][0]["status"] == "False"
    assert found.status is not None
    assert {one["type"]: one["status"] for one in found.status["conditions"]} == dict.fromkeys(
        nodelifecycle.WATCHED, "Unknown"
    )


def test_a_node_is_not_called_silent_for_the_time_before_we_listened() -> None:
    cache = view(renewed=LONG_AGO)
    found = nodelifecycle.plan(node_of(cache), cache, NOW, started=NOW)
    assert (found.status, found.again_at) == (None, NOW + nodelifecycle.GRACE)


def test_taints_follow_conditions_and_leave_those_of_others() -> None:
    others = Taint(key="gpu", effect="NoSchedule")
    unreachable = Taint(key=nodelifecycle.UNREACHABLE, effect="NoExecute")
    node = Node(spec=NodeSpec(taints=(others, unreachable), unschedulable=True), status=NodeStatus())
    found = (NodeCondition(type="Ready", status="True"), NodeCondition(type="DiskPressure", status="True"))
    keys = [taint.key for taint in nodelifecycle.taints(node, found, NOW)]
    assert keys == ["gpu", "node.kubernetes.io/disk-pressure", "node.kubernetes.io/unschedulable"]


HARD = Taint(key="k", value="v", effect="NoExecute", time_added=NOW)


@pytest.mark.parametrize(
    ("tolerations", "due"),
    [
        ((), NOW),
        ((Toleration(key="k", operator="Exists"),), None),
        ((Toleration(operator="Exists"),), None),
        ((Toleration(key="k", value="v", operator="Equal"),), None),
        ((Toleration(key="k", value="other"),), NOW),
        ((Toleration(key="k", operator="Exists", effect="NoSchedule"),), NOW),
        ((Toleration(key="k", operator="Exists", toleration_seconds=300),), NOW + timedelta(seconds=300)),
        ((Toleration(key="k", operator="Exists", toleration_seconds=-1),), NOW),
    ],
)
def test_a_pod_leaves_when_its_toleration_is_over(tolerations: tuple[Toleration, ...], due: datetime | None) -> None:
    assert nodelifecycle.evicted_at(Pod(spec=PodSpec(tolerations=tolerations)), [HARD], NOW) == due


def test_of_several_tolerations_the_first_decides() -> None:
    both = (Toleration(operator="Exists"), Toleration(key="k", operator="Exists", toleration_seconds=5))
    assert nodelifecycle.evicted_at(Pod(spec=PodSpec(tolerations=both)), [HARD], NOW) is None
    seconds = nodelifecycle.evicted_at(Pod(spec=PodSpec(tolerations=both[::-1])), [HARD], NOW)
    assert seconds == NOW + timedelta(seconds=5)


def test_an_eviction_says_why_and_deletes_exactly_this_pod() -> None:
    cache = view(renewed=NOW)
    node = Node(metadata=node_of(cache).metadata, spec=NodeSpec(taints=(HARD,)))
    found = nodelifecycle.plan_evictions(node, cache, NOW)
    reason, action = found.actions
    assert isinstance(reason, Patch)
    assert [(one["type"], one["reason"]) for one in reason.body["status"]["conditions"]] == [
        ("DisruptionTarget", "DeletionByTaintManager")
    ]
    # Only the one condition: the others are as the API has them, not as this view does.
    assert (reason.patch, reason.body["metadata"]) == ("strategic", {"uid": "p"})
    assert isinstance(action, Delete)
    assert action.note is not None
    assert action.note.regarding is not None
    assert action.note.regarding["name"] == "p"
    assert (action.name, action.options.uid) == ("p", "p")
