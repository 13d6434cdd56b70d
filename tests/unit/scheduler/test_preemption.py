"""Who must leave for a more important pod, and where."""

from typing import Any

import msgspec

from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.policy import PodDisruptionBudget
from knarr.scheduler.node_state import NodeState
from knarr.scheduler.preemption import NO_VICTIMS, NOT_HELPFUL, NoPreemption, Preemption, preempt
from knarr.scheduler.schedule import Unschedulable, schedule
from knarr.scheduler.snapshot import Snapshot
from tests.unit.scheduler.building import node, pod, required, spread, term


def asks(**spec: Any) -> Pod:
    return pod("vip", **{"priority": 100, "cpu": "1", **spec})


def low(name: str, priority: int = 0, cpu: str = "1", app: str = "", started: int = 0, **spec: Any) -> Pod:
    return pod(name, app, cpu=cpu, priority=priority, status={"startTime": f"2030-01-01T00:00:{started:02}Z"}, **spec)


def budget(app: str, allowed: int) -> PodDisruptionBudget:
    spec = {"selector": {"matchLabels": {"app": app}}}
    body = {"metadata": {"namespace": "default"}, "spec": spec, "status": {"disruptionsAllowed": allowed}}
    return msgspec.convert(body, PodDisruptionBudget)


def decide(
    wanted: Pod, *states: NodeState, budgets: tuple[PodDisruptionBudget, ...] = ()
) -> tuple[str, list[str]] | str:
    """(node, the victims' names), or why not."""
    snapshot = Snapshot(states)
    refused = schedule(wanted, snapshot)
    assert isinstance(refused, Unschedulable)
    match preempt(wanted, snapshot, refused, budgets=budgets):
        case Preemption(where, victims):
            return where, sorted(victim.metadata.name for victim in victims)
        case NoPreemption(message):
            return message


def test_no_more_pods_leave_than_must() -> None:
    states = node("a", "", low("x", cpu="500m", priority=5), low("y", cpu="500m"), low("z"))
    assert decide(asks(cpu="1500m"), states) == ("a", ["y", "z"])
    assert decide(asks(cpu="500m"), states) == ("a", ["z"])


def test_the_least_important_leave_and_the_younger_of_equals() -> None:
    assert decide(asks(), node("a", "", low("x", 5), low("y", 1))) == ("a", ["y"])
    assert decide(asks(), node("a", "", low("x", started=1), low("y", started=2))) == ("a", ["y"])


def test_the_node_that_loses_the_lower_priority_wins() -> None:
    states = node("a", "", low("x", 9, cpu="2")), node("b", "", low("y", 5, cpu="2"))
    assert decide(asks(), *states) == ("b", ["y"])


def test_fewer_victims_win_at_the_same_priority() -> None:
    states = node("a", "", low("x", 0), low("y", 0)), node("b", "", low("z", 0, cpu="2"))
    assert decide(asks(cpu="2"), *states) == ("b", ["z"])


def test_a_budget_is_broken_only_if_nothing_else_helps() -> None:
    guarded, free = node("a", "", low("x", cpu="2", app="db")), node("b", "", low("y", 50, cpu="2"))
    assert decide(asks(), guarded, free, budgets=(budget("db", 0),)) == ("b", ["y"])
    assert decide(asks(), guarded, budgets=(budget("db", 0),)) == ("a", ["x"])
    assert decide(asks(), guarded, free, budgets=(budget("db", 1),)) == ("a", ["x"])


def test_nobody_as_important_leaves() -> None:
    message = f"0/1 nodes are available: 1 {NO_VICTIMS}."
    assert decide(asks(), node("a", "", low("x", 100, cpu="2"))) == message


def test_preemption_that_cannot_help_says_so() -> None:
    tainted = node("a", "", low("x", cpu="2"), taints=[{"key": "k", "effect": "NoSchedule"}])
    assert decide(asks(), tainted) == f"0/1 nodes are available: 1 {NOT_HELPFUL}."
    assert decide(asks(cpu="3"), node("a", "", low("x"))) == f"0/1 nodes are available: 1 {NOT_HELPFUL}."


def test_a_pod_may_renounce_preemption() -> None:
    found = decide(asks(preemptionPolicy="Never"), node("a", "", low("x", cpu="2")))
    assert found == "not eligible due to preemptionPolicy=Never."


def test_the_avoided_leave() -> None:
    avoids = asks(affinity=required("podAntiAffinity", term("db")))
    assert decide(avoids, node("a", "", low("x", app="db"), low("y", app="web", cpu="100m"))) == ("a", ["x"])


def test_company_is_not_made_by_sending_pods_away() -> None:
    lonely = asks(affinity=required("podAffinity", term("db")))
    assert decide(lonely, node("a", "", low("x"))) == f"0/1 nodes are available: 1 {NOT_HELPFUL}."


def test_skew_is_mended_by_sending_pods_away() -> None:
    wanted = asks(
        cpu="100m", labels={"app": "web"}, topologySpreadConstraints=[spread("web", nodeTaintsPolicy="Ignore")]
    )
    empty = node("b", "y", taints=[{"key": "k", "effect": "NoSchedule"}])
    assert decide(wanted, node("a", "x", low("w", app="web")), empty) == ("a", ["w"])


def test_while_victims_leave_nobody_else_has_to() -> None:
    wanted, victim = asks(), low("x", cpu="2")
    snapshot = Snapshot([node("a", "", victim), node("b", "", low("y", cpu="2"))])
    snapshot.nominated["vip"] = (wanted, "a")
    refused = schedule(wanted, snapshot)
    assert isinstance(refused, Unschedulable)
    found = preempt(wanted, snapshot, refused, going={"x"})
    assert found == NoPreemption("not eligible due to a terminating pod on the nominated node.", is_waiting=True)


def test_room_that_is_nominated_is_kept_from_less_important_pods() -> None:
    snapshot = Snapshot([node("a")])
    snapshot.nominated["vip"] = (asks(cpu="2"), "a")
    refused = schedule(low("x", 5), snapshot)
    assert isinstance(refused, Unschedulable)
    assert refused.message == "0/1 nodes are available: 1 Insufficient cpu."
    assert not isinstance(schedule(low("boss", 200), snapshot), Unschedulable)
