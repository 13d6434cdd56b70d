"""What a profile changes: strategies, weights, added affinity, default spreading, plugins left out."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from knarr.kinds.core_service import SERVICE
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.scheduling import NodeAffinity
from knarr.objects import labels
from knarr.scheduler.node_state import NodeState
from knarr.scheduler.profile import DEFAULT, Fit, Profile
from knarr.scheduler.schedule import Unschedulable, schedule
from knarr.scheduler.scores import resources
from knarr.scheduler.snapshot import Snapshot
from knarr.scheduler.wanted import of
from tests.unit.scheduler.building import ZONE, node, pod

SHAPE = ((0, 0), (50, 100), (100, 20))


def answer(wanted: Pod, profile: Profile, *states: NodeState) -> str:
    outcome = schedule(wanted, Snapshot(states), profile)
    return outcome.message if isinstance(outcome, Unschedulable) else outcome.node


@pytest.mark.parametrize(
    ("fit", "points"),
    [
        (Fit(), (75 + 50) // 2),
        (Fit("MostAllocated"), (25 + 50) // 2),
        (Fit("MostAllocated", (("cpu", 3), ("memory", 1))), (3 * 25 + 50) // 4),
        (Fit("RequestedToCapacityRatio", shape=SHAPE), (50 + 100) // 2),
        (Fit("LeastAllocated", (("cpu", 1), ("example.com/gpu", 9))), 75),
    ],
)
def test_a_strategy_scores_as_documented(fit: Fit, points: int) -> None:
    state = node("a", allocatable={"cpu": "4", "memory": "1000Mi", "example.com/gpu": "4"})
    assert resources.fit_score(of(pod("p", cpu="1", memory="500Mi")), state, fit) == points


@pytest.mark.parametrize(("utilization", "score"), [(0, 0), (25, 50), (50, 100), (75, 60), (100, 20)])
def test_a_shape_is_a_line_through_its_points(utilization: int, score: int) -> None:
    assert resources.on_shape(utilization, SHAPE) == score


def test_an_added_affinity_holds_for_every_pod() -> None:
    terms = [{"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}]
    asked: dict[str, Any] = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    profile = replace(DEFAULT, added_affinity=msgspec.convert(asked, NodeAffinity))
    assert answer(pod("p"), profile, node("a"), node("b", labels={"disk": "ssd"})) == "b"
    refused = "0/1 nodes are available: 1 node(s) didn't match scheduler-enforced node affinity."
    assert answer(pod("p"), profile, node("a")) == refused


def test_a_filter_that_is_left_out_refuses_nobody() -> None:
    tainted = node("a", taints=[{"key": "k", "effect": "NoSchedule"}])
    profile = replace(DEFAULT, filters=DEFAULT.filters - {"TaintToleration"})
    assert answer(pod("p"), profile, tainted) == "a"


def test_ignored_resources_may_be_short() -> None:
    profile = replace(DEFAULT, fit=Fit(ignored_groups=frozenset({"example.com"})))
    assert answer(pod("p", gpu="2"), profile, node("a")) == "a"


def test_pods_of_a_service_spread_by_default_and_others_go_where_room_is() -> None:
    """Node a has the most room, and two of the Service's pods."""
    placed = [pod(name, "web", cpu="1m", memory="1Mi") for name in ("one", "two")]
    states = node("a", "x", *placed), node("b", "y", pod("other", cpu="400m", memory="200Mi"))
    snapshot = Snapshot(states)
    asked = pod("p", "web", cpu="1m", memory="1Mi")
    assert schedule(asked, snapshot) == schedule(asked, Snapshot(states)), "no Service yet"
    assert getattr(schedule(asked, snapshot), "node", "") == "a"
    snapshot.siblings.note(SERVICE, ("default", "web"), labels.equal({"app": "web"}))
    assert getattr(schedule(asked, snapshot), "node", "") == "b"
    assert getattr(schedule(asked, snapshot, replace(DEFAULT, name="n", default_spreads=())), "node", "") == "a"


def test_default_constraints_of_a_list_may_gate() -> None:
    constraint = replace_constraint(1, ZONE)
    profile = replace(DEFAULT, default_spreads=(constraint,), is_system_spreading=False)
    states = node("a", "x", pod("one", "web")), node("b", "y", pod("big", cpu="2"))
    snapshot = Snapshot(states)
    snapshot.siblings.note(SERVICE, ("default", "web"), labels.equal({"app": "web"}))
    outcome = schedule(pod("p", "web", cpu="1"), snapshot, profile)
    assert isinstance(outcome, Unschedulable)
    assert "1 node(s) didn't match pod topology spread constraints" in outcome.message


def replace_constraint(skew: int, key: str) -> Any:
    return msgspec.structs.replace(
        DEFAULT.default_spreads[0], max_skew=skew, topology_key=key, when_unsatisfiable="DoNotSchedule"
    )
