"""Where a pod goes, and in whose words it is refused."""

from dataclasses import replace

import msgspec
import pytest

from knarr.kinds.lens.node import Node
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.storage import PersistentVolume, PersistentVolumeClaim
from knarr.scheduler.node_state import NodeState
from knarr.scheduler.schedule import Bound, Unschedulable, schedule
from knarr.scheduler.snapshot import Snapshot
from knarr.scheduler.wanted import of


def node(name: str = "a", **fields: object) -> NodeState:
    body = {
        "metadata": {"name": name, "labels": fields.get("labels", {})},
        "spec": {"taints": fields.get("taints", ()), "unschedulable": fields.get("unschedulable", False)},
        "status": {"allocatable": {"cpu": "2", "memory": "1Gi", "pods": "10"}},
    }
    return NodeState(msgspec.convert(body, Node))


def pod(name: str = "p", **spec: object) -> Pod:
    containers = spec.pop("containers", [{"name": "c"}])
    body = {"metadata": {"name": name, "uid": name}, "spec": {"containers": containers, **spec}}
    return msgspec.convert(body, Pod)


def asks(cpu: str = "0", memory: str = "0", **more: object) -> list[dict[str, object]]:
    return [{"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}, **more}]


def refusal(wanted: Pod, *states: NodeState) -> str:
    outcome = schedule(wanted, Snapshot(states))
    assert isinstance(outcome, Unschedulable)
    return outcome.message


def test_a_pod_goes_to_the_node_with_more_room() -> None:
    full, empty = node("a"), node("b")
    full.add(pod("x", containers=asks(cpu="1500m", memory="512Mi")))
    assert schedule(pod(), Snapshot([full, empty])) == Bound("b")


def test_equal_nodes_are_chosen_by_name() -> None:
    assert schedule(pod(), Snapshot([node("b"), node("a")])) == Bound("a")


def test_without_nodes_it_says_so() -> None:
    assert refusal(pod()) == "no nodes available to schedule pods"


def test_each_reason_is_counted_over_the_nodes() -> None:
    busy = node("a")
    busy.add(pod("x", containers=asks(cpu="1500m")))
    wanted = pod(containers=asks(cpu="1", memory="2Gi"))
    assert refusal(wanted, busy, node("b")) == "0/2 nodes are available: 1 Insufficient cpu, 2 Insufficient memory."


@pytest.mark.parametrize(
    ("spec", "state", "reason"),
    [
        ({"nodeSelector": {"disk": "ssd"}}, {}, "node(s) didn't match Pod's node affinity/selector"),
        ({}, {"unschedulable": True}, "node(s) were unschedulable"),
        ({}, {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}]}, "node(s) had untolerated taint {k: v}"),
    ],
)
def test_a_node_is_refused_in_upstreams_words(spec: dict[str, object], state: dict[str, object], reason: str) -> None:
    assert refusal(pod(**spec), node(**state)) == f"0/1 nodes are available: 1 {reason}."


def test_a_toleration_lets_the_pod_pass() -> None:
    tainted = node(taints=[{"key": "k", "value": "v", "effect": "NoSchedule"}])
    for toleration in ({"operator": "Exists"}, {"key": "k", "value": "v"}, {"key": "k", "operator": "Exists"}):
        assert schedule(pod(tolerations=[toleration]), Snapshot([tainted])) == Bound("a")


def test_a_host_port_is_given_once_per_node_and_protocol() -> None:
    state = node()
    state.add(pod("x", containers=[{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80}]}]))
    again = pod(containers=[{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80, "hostIP": "127.0.0.1"}]}])
    assert "didn't have free ports" in refusal(again, state)
    udp = pod(containers=[{"name": "c", "ports": [{"containerPort": 80, "hostPort": 80, "protocol": "UDP"}]}])
    assert schedule(udp, Snapshot([state])) == Bound("a")


@pytest.mark.parametrize(
    ("operator", "values", "matches"),
    [
        ("In", ["a", "b"], True),
        ("NotIn", ["a"], False),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
        ("Gt", ["1"], False),
        ("Bogus", [], False),
    ],
)
def test_required_node_affinity_is_kept(operator: str, values: list[str], *, matches: bool) -> None:
    term = {"matchExpressions": [{"key": "zone", "operator": operator, "values": values}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
    outcome = schedule(pod(affinity=affinity), Snapshot([node(labels={"zone": "a"})]))
    assert isinstance(outcome, Bound) == matches


def test_init_containers_count_at_their_peak_and_sidecars_all_along() -> None:
    init = [
        {"name": "side", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}},
        {"name": "big", "resources": {"requests": {"cpu": "900m"}}},
    ]
    wanted = pod(containers=asks(cpu="500m"), initContainers=init, overhead={"cpu": "10m"})
    assert of(wanted).requests["cpu"] == 1010


def test_adding_and_removing_a_pod_leaves_nothing_behind() -> None:
    state = node()
    placed = pod("x", containers=[{**asks(cpu="1")[0], "ports": [{"containerPort": 1, "hostPort": 1}]}])
    state.add(placed)
    state.add(msgspec.structs.replace(placed))
    state.remove("x")
    assert (state.pods, set(state.requested.values()), state.host_ports) == ({}, {0}, [])
    assert replace(state, pods={}) == state


@pytest.mark.parametrize(
    ("claim", "reason"),
    [
        (None, 'persistentvolumeclaim "c" not found'),
        ({"status": {"phase": "Pending"}}, "pod has unbound immediate PersistentVolumeClaims"),
        ({"metadata": {"deletionTimestamp": "2030-01-01T00:00:00Z"}}, 'persistentvolumeclaim "c" is being deleted'),
        (
            {"spec": {"volumeName": "v"}, "status": {"phase": "Lost"}},
            'persistentvolumeclaim "c" bound to non-existent persistentvolume "v"',
        ),
        ({"spec": {"volumeName": "v"}, "status": {"phase": "Bound"}}, ""),
    ],
)
def test_a_claim_must_be_there_and_bound(claim: dict[str, object] | None, reason: str) -> None:
    snapshot = Snapshot([node("a"), node("b")])
    if claim is not None:
        snapshot.volumes.claims["", "c"] = msgspec.convert(claim, PersistentVolumeClaim)
        snapshot.volumes.volumes["v"] = PersistentVolume()
    outcome = schedule(pod(volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]), snapshot)
    message = outcome.message if isinstance(outcome, Unschedulable) else ""
    assert message == (f"0/2 nodes are available: {reason}." if reason else "")
