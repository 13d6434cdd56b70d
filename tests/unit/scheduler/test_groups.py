"""Ranking groups of nodes that are alike gives the answers that ranking every node gives."""

import os
import random

import pytest

from knarr.kinds.lens.pod import Pod
from knarr.scheduler.group_standings import GroupStandings
from knarr.scheduler.groups import Groups
from knarr.scheduler.node_state import NodeState
from knarr.scheduler.profile import DEFAULT
from knarr.scheduler.schedule import asking_of
from knarr.scheduler.snapshot import Snapshot
from knarr.scheduler.standings import Standings
from tests.unit.scheduler.building import node, pod

ROUNDS = int(os.environ.get("KNARR_SCHEDULER_SEEDS", "25"))


def drawn(chance: random.Random, number: int) -> NodeState:
    effects = chance.choice([(), (), (), ("PreferNoSchedule",), ("NoSchedule",)])
    taints = [{"key": "k", "value": "v", "effect": effect} for effect in effects]
    allocatable = {"cpu": chance.choice(["1", "2"]), "pods": "5"}
    return node(f"n{number}", "x", taints=taints, allocatable=allocatable)


def change(chance: random.Random, snapshot: Snapshot, placed: list[tuple[Pod, str]], number: int) -> None:
    """One thing that happens in a cluster."""
    match chance.choice([0, 1, *[2] * 6, *[3] * 3, *[4] * 12]):
        case 0:
            snapshot.put(drawn(chance, 100 + number))
        case 1 if len(snapshot.nodes) > 2:
            name = chance.choice(list(snapshot.nodes))
            snapshot.drop(name)
            placed[:] = [each for each in placed if each[1] != name]
        case 2 if placed:
            gone, name = placed.pop(chance.randrange(len(placed)))
            snapshot.remove(gone.metadata.uid, name)
        case 3:
            name = chance.choice(list(snapshot.nodes))
            twin = drawn(chance, int(name[1:]))
            snapshot.renew(twin.node)
        case _:
            new, name = pod(f"p{number}", "a", cpu=chance.choice(["100m", "300m"])), chance.choice(list(snapshot.nodes))
            snapshot.place(new, name)
            placed.append((new, name))


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_groups_give_the_answer_that_nodes_give(seed: int) -> None:
    chance = random.Random(seed)
    snapshot = Snapshot([drawn(chance, number) for number in range(8)])
    asked = [pod(f"a{cpu}", "a", cpu=cpu) for cpu in ("100m", "500m", "1500m")]
    askings = [asking_of(each, snapshot, DEFAULT) for each in asked]
    placed: list[tuple[Pod, str]] = []
    for number in range(200):
        change(chance, snapshot, placed, number)
        for asking in askings:
            if chance.random() < 0.5:
                clever = snapshot.kept(("clever", asking.wanted), lambda one=asking: GroupStandings(one, snapshot))
                dumb = snapshot.kept(("dumb", asking.wanted), lambda one=asking: Standings(one, snapshot))
                clever.refresh()
                dumb.refresh()
                assert clever.best() == dumb.best()
                assert clever.verdicts() == dumb.verdicts()


def test_a_group_ends_with_its_last_member() -> None:
    groups = Groups()
    first, second = node("a"), node("b")
    groups.put(second)
    groups.put(first)  # Its name comes before: the group is announced again.
    (group,) = groups.announced_since(0)
    assert (group.first(), group.number, len(groups)) == ("a", 2, 1)
    groups.drop("a")
    assert group.first() == "b"
    groups.drop("b")
    assert (len(groups), list(groups.announced_since(0))) == (0, [])
