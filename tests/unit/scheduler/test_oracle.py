"""The clever ways against dumb ones: cells against nodes one by one, filters against the rules read aloud."""

import os
import random
from typing import Any

import pytest

from knarr.kinds.lens.pod import Pod
from knarr.scheduler import wanted
from knarr.scheduler.node_state import NodeState
from knarr.scheduler.preemption import NoPreemption, Preemption, preempt, priority
from knarr.scheduler.profile import DEFAULT
from knarr.scheduler.schedule import Bound, Unschedulable, asking_of, schedule, weighed
from knarr.scheduler.snapshot import Snapshot
from knarr.scheduler.standings import judged
from tests.unit.scheduler.building import HOST, ZONE, node, pod, preferred, required, spread, term

ROUNDS = int(os.environ.get("KNARR_SCHEDULER_SEEDS", "25"))


def drawn_node(chance: random.Random, number: int) -> NodeState:
    taints = [{"key": "k", "value": "v", "effect": chance.choice(["NoSchedule", "PreferNoSchedule"])}]
    return node(
        f"n{number}",
        chance.choice(["x", "y", "z", ""]),
        taints=taints if chance.random() < 0.2 else (),
        labels={"disk": chance.choice(["ssd", "hdd"])},
        allocatable={"cpu": chance.choice(["1", "2", "4"]), "pods": "6"},
    )


def drawn_pod(chance: random.Random, name: str) -> Pod:
    app, key = chance.choice(["a", "b", "c"]), chance.choice([HOST, ZONE])
    spec: dict[str, Any] = {"cpu": chance.choice(["100m", "300m", "1"]), "priority": chance.choice([0, 0, 5, 10])}
    if chance.random() < 0.2:
        spec["tolerations"] = [{"key": "k", "operator": "Exists"}]
    if chance.random() < 0.2:
        spec["nodeSelector"] = {"disk": chance.choice(["ssd", "hdd"])}
    match chance.randrange(10):
        case 0:
            spec["affinity"] = required("podAntiAffinity", term(app, key))
        case 1:
            spec["affinity"] = preferred(chance.choice(["podAffinity", "podAntiAffinity"]), 5, term(app, key))
        case 2:
            spec["affinity"] = required("podAffinity", term(app, key))
        case 3:
            spec["topologySpreadConstraints"] = [spread(app, key, maxSkew=chance.choice([1, 3]))]
        case 4:
            soft = {"whenUnsatisfiable": "ScheduleAnyway"}
            spec["topologySpreadConstraints"] = [spread(app, HOST, **soft), spread(app, ZONE, maxSkew=2, **soft)]
        case 5:
            honor = {"nodeTaintsPolicy": "Honor", "minDomains": chance.choice([1, 3])}
            spec["topologySpreadConstraints"] = [spread(app, ZONE, **honor), spread(app, HOST)]
    return pod(name, app, **spec)


def fits(asked: Pod, state: NodeState, states: list[NodeState]) -> bool:
    """The rules of the documentation, asked one by one of everything there is."""
    needs, labels = wanted.of(asked), state.node.metadata.labels
    used = [wanted.of(each).requests for each in state.pods.values()]
    for name, amount in needs.requests.items():
        if amount and amount + sum(each.get(name, 0) for each in used) > state.allocatable.get(name, 0):
            return False
    if any(labels.get(key) != value for key, value in asked.spec.node_selector.items()):
        return False
    if not tolerated(asked, state):
        return False
    return near_and_far(asked, state, states) and evenly(asked, state, states)


def tolerated(asked: Pod, state: NodeState) -> bool:
    gating = [taint for taint in state.node.spec.taints if taint.effect == "NoSchedule"]
    return not gating or bool(asked.spec.tolerations)


def chosen(term_of: Any, other: Pod) -> bool:
    return bool(other.metadata.labels.get("app") == term_of.label_selector.match_labels["app"])


def required_terms(asked: Pod, kind: str) -> Any:
    affinity = getattr(asked.spec.affinity, kind) if asked.spec.affinity else None
    return affinity.required_during_scheduling_ignored_during_execution if affinity else ()


def near_and_far(asked: Pod, state: NodeState, states: list[NodeState]) -> bool:
    labels = state.node.metadata.labels
    placed = [(other, each.node.metadata.labels) for each in states for other in each.pods.values()]

    def together(key: str, theirs: dict[str, str]) -> bool:
        return key in labels and labels.get(key) == theirs.get(key)

    for each in required_terms(asked, "pod_affinity"):
        company = [theirs for other, theirs in placed if chosen(each, other) and each.topology_key in theirs]
        is_first = not company and chosen(each, asked) and each.topology_key in labels
        if not is_first and not any(together(each.topology_key, theirs) for theirs in company):
            return False
    for each in required_terms(asked, "pod_anti_affinity"):
        if any(chosen(each, other) and together(each.topology_key, theirs) for other, theirs in placed):
            return False
    return not any(
        chosen(each, asked) and together(each.topology_key, theirs)
        for other, theirs in placed
        for each in required_terms(other, "pod_anti_affinity")
    )


def evenly(asked: Pod, state: NodeState, states: list[NodeState]) -> bool:
    gating = [each for each in asked.spec.topology_spread_constraints if each.when_unsatisfiable == "DoNotSchedule"]
    for constraint in gating:
        counts: dict[str, int] = {}
        for each in states:
            labels = each.node.metadata.labels
            if any(one.topology_key not in labels for one in gating):
                continue
            if any(labels.get(key) != value for key, value in asked.spec.node_selector.items()):
                continue
            if constraint.node_taints_policy == "Honor" and not tolerated(asked, each):
                continue
            value = labels[constraint.topology_key]
            counts[value] = counts.get(value, 0) + sum(chosen(constraint, other) for other in each.pods.values())
        own = state.node.metadata.labels.get(constraint.topology_key)
        if own is None:
            return False
        least = 0 if len(counts) < (constraint.min_domains or 1) else min(counts.values(), default=0)
        if counts.get(own, 0) + chosen(constraint, asked) - least > constraint.max_skew:
            return False
    return True


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_cells_answer_as_the_nodes_one_by_one_and_as_the_rules(seed: int) -> None:
    chance = random.Random(seed)
    snapshot = Snapshot(drawn_node(chance, number) for number in range(chance.randrange(1, 9)))
    placed: list[tuple[str, str]] = []
    for number in range(50):
        if placed and chance.random() < 0.25:
            snapshot.remove(*placed.pop(chance.randrange(len(placed))))
        asked = drawn_pod(chance, f"p{number}")
        outcome, states = schedule(asked, snapshot), list(snapshot.nodes.values())
        asking = asking_of(asked, snapshot, DEFAULT)
        assert outcome == weighed(asking, snapshot, {each.name: judged(asking, each, snapshot) for each in states})
        suitable = {each.name for each in states if fits(asked, each, states)}
        if isinstance(outcome, Bound):
            assert outcome.node in suitable
            snapshot.place(asked, outcome.node)
            placed.append((asked.metadata.uid, outcome.node))
        else:
            assert suitable == set()
            made_room(asked, snapshot, outcome)


def made_room(asked: Pod, snapshot: Snapshot, outcome: Unschedulable) -> None:
    """Only less important pods leave, none in vain, and without them the pod fits."""
    match preempt(asked, snapshot, outcome):
        case Preemption(name, victims):
            assert victims
            assert all(priority(victim) < priority(asked) for victim in victims)
            state = snapshot.nodes[name].copy()
            others = [each for each in snapshot.nodes.values() if each.name != name]
            for victim in victims:
                state.remove(victim.metadata.uid)
            assert fits(asked, state, [*others, state])
            for victim in victims:
                state.add(victim)
                assert not fits(asked, state, [*others, state])
                state.remove(victim.metadata.uid)
        case NoPreemption(message):
            assert message
