"""Which of the nodes that fit is taken, and that remembering changes no answer."""

import random
from typing import Any

import pytest

from knarr.kinds.lens.pod import Pod
from knarr.scheduler.node_state import NodeState
from knarr.scheduler.profile import CPU_AND_MEMORY, Fit
from knarr.scheduler.schedule import Bound, schedule
from knarr.scheduler.scores import images, resources
from knarr.scheduler.snapshot import Snapshot
from knarr.scheduler.wanted import of
from tests.unit.scheduler.building import HOST, ZONE, answer, node, pod, preferred, required, spread, term

MEBIBYTE = 1024 * 1024
BARE = [{"name": "c", "image": "web:1"}]


def test_least_allocated_counts_what_containers_left_unsaid() -> None:
    state = node("a", allocatable={"cpu": "1", "memory": "400Mi"})
    assert resources.fit_score(of(pod("p", containers=BARE)), state, Fit()) == (90 + 50) // 2
    assert resources.fit_score(of(pod("p", cpu="500m", memory="100Mi")), state, Fit()) == (50 + 75) // 2


def test_balance_is_highest_when_shares_are_alike() -> None:
    state = node("a", allocatable={"cpu": "1", "memory": "1000Mi"})
    assert resources.balanced(of(pod("p", cpu="500m", memory="500Mi")), state, CPU_AND_MEMORY) == 100
    assert resources.balanced(of(pod("p", cpu="500m")), state, CPU_AND_MEMORY) == 75


@pytest.mark.parametrize(("size", "points"), [(10, 0), (1000, 100), (2000, 100), (511, 49)])
def test_an_image_counts_by_its_size(size: int, points: int) -> None:
    state = node("a", images=[{"names": ["docker.io/library/web:1"], "sizeBytes": size * MEBIBYTE}])
    assert images.locality(of(pod("p", containers=BARE)), state, Snapshot([state])) == points


def test_the_node_with_the_image_wins() -> None:
    warm = node("b", images=[{"names": ["docker.io/library/web:1"], "sizeBytes": 500 * MEBIBYTE}])
    assert answer(pod("p"), node("a"), warm) == "b"


def test_a_preferred_label_outweighs_room() -> None:
    expression = {"key": "disk", "operator": "In", "values": ["ssd"]}
    asked = {"weight": 1, "preference": {"matchExpressions": [expression]}}
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [asked]}}
    states = node("a"), node("b", "", pod("x", cpu="1500m"), labels={"disk": "ssd"})
    assert answer(pod("p", affinity=affinity), *states) == "b"


def test_a_node_with_fewer_disliked_taints_wins() -> None:
    one, two = ([{"key": key, "effect": "PreferNoSchedule"} for key in keys] for keys in ("x", "xy"))
    assert answer(pod("p"), node("a", taints=two), node("b", taints=one)) == "b"


def test_extended_resources_count() -> None:
    states = node("a"), node("b", allocatable={"example.com/gpu": "1"})
    assert answer(pod("p", gpu="1"), *states) == "b"
    assert answer(pod("p", gpu="2"), *states) == "0/2 nodes are available: 2 Insufficient example.com/gpu."


def test_pod_level_requests_stand_for_the_containers() -> None:
    wanted = of(pod("p", cpu="100m", memory="1Mi", resources={"requests": {"cpu": "2"}}, overhead={"cpu": "10m"}))
    assert wanted.requests == {"cpu": 2010, "memory": MEBIBYTE, "pods": 1}


def test_a_pod_that_names_its_node_is_weighed_against_that_node_alone() -> None:
    field = {"key": "metadata.name", "operator": "In", "values": ["a"]}
    affinity = required_node({"matchFields": [field]})
    assert answer(pod("p", affinity=affinity), node("b"), node("a", "", pod("x", cpu="1"))) == "a"
    refused = "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) didn't match Pod's node affinity/selector."
    assert answer(pod("p", cpu="3", affinity=affinity), node("b"), node("a")) == refused


def required_node(asked: dict[str, Any]) -> dict[str, Any]:
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [asked]}}}


def drawn(chance: random.Random, name: str) -> Pod:
    app = chance.choice(["a", "b"])
    spec: dict[str, Any] = {"cpu": chance.choice(["100m", "300m", "1"])}
    match chance.randrange(8):
        case 0:
            spec["affinity"] = required("podAntiAffinity", term(app, HOST))
        case 1:
            spec["affinity"] = preferred("podAffinity", 5, term(app, ZONE))
        case 2:
            spec["topologySpreadConstraints"] = [spread(app, ZONE, maxSkew=chance.choice([1, 3]))]
        case 3:
            spec["affinity"] = required("podAffinity", term(app, ZONE))
        case 4:
            spec["nodeSelector"] = {ZONE: chance.choice("xy")}
    return pod(name, app, **spec)


@pytest.mark.parametrize("seed", range(15))
def test_a_snapshot_that_remembers_answers_like_a_fresh_one(seed: int) -> None:
    chance = random.Random(seed)
    kept = Snapshot(node(f"n{number}", chance.choice("xyz")) for number in range(8))
    placed: dict[str, tuple[Pod, str]] = {}
    for number in range(60):
        if placed and chance.random() < 0.3:
            name = chance.choice(sorted(placed))
            kept.remove(name, placed.pop(name)[1])
        if chance.random() < 0.05:
            kept.renew(node(f"n{chance.randrange(8)}", chance.choice("xyz")).node)
        wanted = drawn(chance, f"p{number}")
        outcome = schedule(wanted, kept)
        assert outcome == schedule(wanted, fresh(kept, placed))
        if isinstance(outcome, Bound):
            kept.place(wanted, outcome.node)
            placed[f"p{number}"] = wanted, outcome.node


def fresh(kept: Snapshot, placed: dict[str, tuple[Pod, str]]) -> Snapshot:
    snapshot = Snapshot(NodeState(state.node) for state in kept.nodes.values())
    for each, name in placed.values():
        snapshot.place(each, name)
    return snapshot
