"""Pressure on the node: when there is some, who goes first, and what is told; and how many events a pod may cause."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from knarr.kubelet import event_budget, eviction
from knarr.kubelet.event_budget import Budget
from knarr.kubelet.eviction import Candidate, Signal
from tests.unit.kubelet.test_pod_plan import NOW, pod

MEGABYTE = 1 << 20
WELL = {"memory.available": Signal(1 << 30, 8 << 30), "nodefs.available": Signal(50, 100)}


def candidate(name: str, memory: int, request: str = "0", priority: int = 0) -> Candidate:
    container: dict[str, Any] = {"name": name, "image": "i", "resources": {"requests": {"memory": request}}}
    return Candidate(pod(containers=[container], priority=priority), {name: memory}, {name: 0})


@pytest.mark.parametrize(
    ("found", "short", "conditions"),
    [
        (WELL, [], set()),
        ({"memory.available": Signal(99 * MEGABYTE, 8 << 30)}, ["memory.available"], {"MemoryPressure"}),
        ({"nodefs.available": Signal(9, 100)}, ["nodefs.available"], {"DiskPressure"}),
        ({"nodefs.available": Signal(10, 100)}, [], set()),
        ({"nodefs.available": Signal(6 << 30, 1 << 40)}, [], set()),
        ({"nodefs.available": Signal(4 << 30, 1 << 40)}, ["nodefs.available"], {"DiskPressure"}),
        ({"nodefs.inodesFree": Signal(4, 100)}, ["nodefs.inodesFree"], {"DiskPressure"}),
        ({"pid.available": Signal(4, 100)}, ["pid.available"], {"PIDPressure"}),
    ],
)
def test_a_signal_past_its_threshold_is_pressure(found: Any, short: list[str], conditions: set[str]) -> None:
    assert eviction.pressures(found) == short
    assert eviction.conditions(short) == conditions


@pytest.mark.parametrize(
    ("candidates", "first"),
    [
        ([candidate("small", 10), candidate("large", 20)], "large"),
        ([candidate("asked", 50 * MEGABYTE, "100Mi"), candidate("above", 2 * MEGABYTE, "1Mi")], "above"),
        ([candidate("low", 10, priority=1), candidate("high", 99, priority=5)], "low"),
        ([candidate("critical", 99, priority=2_000_000_000), candidate("other", 1)], "other"),
    ],
)
def test_who_goes_first(candidates: list[Candidate], first: str) -> None:
    found = {"memory.available": Signal(50 * MEGABYTE, 8 << 30)}
    chosen = eviction.victim(["memory.available"], found, candidates)
    assert chosen is not None
    assert chosen[0].spec.containers[0].name == first


def test_the_message_is_upstreams() -> None:
    found = {"memory.available": Signal(50 * MEGABYTE, 8 << 30)}
    chosen = eviction.victim(["memory.available"], found, [candidate("c", 20 * MEGABYTE, "10Mi")])
    assert chosen is not None
    assert (chosen[1].reason, chosen[1].message) == (
        "Evicted",
        "The node was low on resource: memory. Threshold quantity: 102400Ki, available: 51200Ki. "
        "Container c was using 20480Ki, request is 10240Ki, has larger consumption of memory. ",
    )


def test_nobody_goes_without_pressure_or_when_all_are_critical() -> None:
    assert eviction.victim([], WELL, [candidate("c", 1)]) is None
    critical = [candidate("c", 1, priority=2_000_000_001)]
    assert eviction.victim(["memory.available"], {"memory.available": Signal(0, 1)}, critical) is None


def test_this_machine_has_all_signals(tmp_path: Path) -> None:
    found = eviction.signals(tmp_path)
    assert {"memory.available", "nodefs.available", "pid.available"} <= found.keys()
    assert all(0 <= signal.available <= signal.capacity for signal in found.values())


def test_a_pod_may_cause_a_burst_of_events_and_then_one_every_five_minutes() -> None:
    budget: Budget | None = Budget()
    for _ in range(event_budget.BURST):
        assert budget is not None
        budget = event_budget.spend(budget, NOW)
    assert budget is not None
    assert event_budget.spend(budget, NOW + timedelta(seconds=299)) is None
    later = event_budget.spend(budget, NOW + timedelta(seconds=300))
    assert later is not None
    assert event_budget.spend(later, NOW + timedelta(seconds=301)) is None
