"""Pressure on the node: when there is some, who goes first, and what is told; and how many events a pod may cause."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from knarr.kubelet import event_budget, eviction, node_signals
from knarr.kubelet.event_budget import Budget
from knarr.kubelet.eviction import Candidate, Observation, Signal, Threshold, Watched
from tests.unit.kubelet.test_pod_plan import NOW, pod

MEGABYTE = 1 << 20
WELL = {"memory.available": Signal(1 << 30, 8 << 30), "nodefs.available": Signal(50, 100)}
FIVE_MINUTES = timedelta(minutes=5)
MEMORY = eviction.HARD[0]
SHORT = Signal(50 * MEGABYTE, 8 << 30)


def candidate(name: str, memory: int = 0, request: str = "0", priority: int = 0, **more: Any) -> Candidate:
    container: dict[str, Any] = {"name": name, "image": "i", "resources": {"requests": {"memory": request}}}
    return Candidate(pod(containers=[container], priority=priority), {name: memory}, {name: 0}, **more)


def look(found: dict[str, Signal], before: Watched | None = None, seconds: float = 0, **more: Any) -> Observation:
    thresholds = more.get("thresholds", eviction.HARD)
    return eviction.observed(thresholds, found, before or Watched(), NOW + timedelta(seconds=seconds), FIVE_MINUTES)


@pytest.mark.parametrize(
    ("found", "short", "conditions"),
    [
        (WELL, [], set()),
        ({"memory.available": Signal(99 * MEGABYTE, 8 << 30)}, ["memory.available"], {"MemoryPressure"}),
        ({"nodefs.available": Signal(9, 100)}, ["nodefs.available"], {"DiskPressure"}),
        ({"nodefs.available": Signal(10, 100)}, [], set()),
        ({"imagefs.available": Signal(14, 100)}, ["imagefs.available"], {"DiskPressure"}),
        ({"nodefs.available": Signal(6 << 30, 1 << 40)}, [], set()),
        ({"nodefs.available": Signal(4 << 30, 1 << 40)}, ["nodefs.available"], {"DiskPressure"}),
        ({"nodefs.inodesFree": Signal(4, 100)}, ["nodefs.inodesFree"], {"DiskPressure"}),
        ({"pid.available": Signal(4, 100)}, ["pid.available"], {"PIDPressure"}),
    ],
)
def test_a_signal_past_its_threshold_is_pressure(found: Any, short: list[str], conditions: set[str]) -> None:
    seen = look(found)
    assert [threshold.signal for threshold in seen.acting] == short
    assert seen.conditions == conditions


def test_a_soft_threshold_acts_after_its_grace_and_starts_anew_when_it_was_not_met() -> None:
    soft = (Threshold("memory.available", amount=200 * MEGABYTE, grace_seconds=60),)
    first = look({"memory.available": SHORT}, thresholds=soft)
    assert (first.acting, first.conditions) == ((), {"MemoryPressure"})
    later = look({"memory.available": SHORT}, first.watched, 60, thresholds=soft)
    assert later.acting == soft
    between = look(WELL, first.watched, 30, thresholds=soft)
    assert look({"memory.available": SHORT}, between.watched, 60, thresholds=soft).acting == ()


def test_a_condition_outlasts_its_cause_by_five_minutes() -> None:
    first = look({"memory.available": SHORT})
    well = look(WELL, first.watched, 299)
    assert (well.acting, well.conditions) == ((), {"MemoryPressure"})
    assert look(WELL, well.watched, 300).conditions == set()


def test_a_met_threshold_wants_its_least_reclaim() -> None:
    wanting = (Threshold("memory.available", amount=100 * MEGABYTE, reclaim=50 * MEGABYTE),)
    between = {"memory.available": Signal(120 * MEGABYTE, 8 << 30)}
    assert look(between, thresholds=wanting).acting == ()
    first = look({"memory.available": SHORT}, thresholds=wanting)
    assert look(between, first.watched, 10, thresholds=wanting).acting == wanting
    assert eviction.is_met(wanting[0], between)
    assert not eviction.is_met(wanting[0], {"memory.available": Signal(150 * MEGABYTE, 8 << 30)})


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
    chosen = eviction.victim(MEMORY, SHORT, candidates)
    assert chosen is not None
    assert chosen[0].spec.containers[0].name == first


@pytest.mark.parametrize(
    ("signal", "first"), [("pid.available", "forks"), ("nodefs.inodesFree", "files"), ("imagefs.available", "bytes")]
)
def test_each_resource_ranks_by_its_own_use(signal: str, first: str) -> None:
    candidates = [candidate("forks", processes=9), candidate("files", inodes=9), candidate("bytes", volumes=9)]
    chosen = eviction.victim(Threshold(signal, amount=1), Signal(0, 1), candidates)
    assert chosen is not None
    assert chosen[0].spec.containers[0].name == first


def test_the_message_is_upstreams() -> None:
    chosen = eviction.victim(MEMORY, SHORT, [candidate("c", 20 * MEGABYTE, "10Mi")])
    assert chosen is not None
    assert (chosen[1].reason, chosen[1].message) == (
        "Evicted",
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. "
        "Container c was using 20Mi, request is 10Mi, has larger consumption of memory. ",
    )


def test_what_sidecars_and_the_pod_itself_asked_for_counts() -> None:
    sidecar = {"name": "proxy", "image": "i", "restartPolicy": "Always", "resources": {"requests": {"memory": "1Gi"}}}
    used = {"c": 1 << 20, "proxy": 900 * MEGABYTE}
    asked = Candidate(pod(initContainers=[sidecar], containers=[{"name": "c", "image": "i"}]), used, {})
    small = {"name": "c", "image": "i", "resources": {"requests": {"memory": "1Mi"}}}
    over = Candidate(pod(containers=[small]), {"c": 2 * MEGABYTE}, {})
    chosen = eviction.victim(MEMORY, SHORT, [asked, over])
    assert chosen is not None
    assert chosen[0] is over.pod
    proxy = eviction.victim(MEMORY, SHORT, [replace(asked, memory={"proxy": 2 << 30})])
    assert proxy is not None
    assert "Container proxy was using 2Gi, request is 1Gi" in proxy[1].message


def test_a_hard_threshold_grants_a_second_and_a_soft_one_what_the_node_allows() -> None:
    soft = Threshold("memory.available", amount=1, grace_seconds=9)
    graces = []
    for threshold, most in ((MEMORY, 20), (soft, 20), (soft, 0)):
        chosen = eviction.victim(threshold, SHORT, [candidate("c")], most)
        assert chosen is not None
        graces.append(chosen[1].grace_seconds)
    assert graces == [1, 20, None]


def test_nobody_goes_when_all_are_critical() -> None:
    critical = [candidate("c", 1, priority=2_000_000_001)]
    assert eviction.victim(MEMORY, SHORT, critical) is None


def test_this_machine_has_all_signals(tmp_path: Path) -> None:
    found = node_signals.signals(tmp_path, tmp_path)
    assert {"memory.available", "nodefs.available", "imagefs.available", "pid.available"} <= found.keys()
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
