"""Seeded simulations: every act of acts.py in bad weather, with controllers that crash before and after writes.

KNARR_SEEDS sets how many seeds the acts of CENTRAL get (the others a quarter), KNARR_SEED replays one:
    KNARR_SEED=17 pytest tests/simulation -k rollout
"""

import os
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from knarr.client.client import Json
from tests.simulation import virtual_time
from tests.simulation.acts import ACTS
from tests.simulation.conftest import PROPERTY
from tests.simulation.world import Trial, World, simulate

COUNT = int(os.environ.get("KNARR_SEEDS", "2000"))
TOGETHER = 100
"""Seeds of one test: about two seconds of work."""
pytestmark = pytest.mark.timeout(300)  # For machines that do other work as well.
CENTRAL = ("rollout", "scaling", "job", "statefulset")


def batches(act: str) -> Sequence[Sequence[int]]:
    """The seeds of an act, in batches of one test each."""
    if "KNARR_SEED" in os.environ:
        return [(int(os.environ["KNARR_SEED"]),)]
    count = COUNT if act in CENTRAL else max(1, COUNT // 4)
    return [range(first, min(first + TOGETHER, count)) for first in range(0, count, TOGETHER)]


BATCHES = [pytest.param(act, seeds, id=f"{act}-{seeds[0]}-{seeds[-1]}") for act in ACTS for seeds in batches(act)]


def tried(act: str, trial: Trial) -> World:
    """The world after an act; raises where a sentence was broken on the way or the end is wrong."""
    row = ACTS[act]
    world = virtual_time.run(simulate(trial, row.act))
    assert world.watchman.broken == []
    row.arrived(world)
    return world


@pytest.mark.parametrize(("act", "seeds"), BATCHES)
def test_an_act_is_safe_on_its_way_and_arrives(
    act: str, seeds: Sequence[int], record_property: Callable[[str, object], None]
) -> None:
    counts: Counter[str] = Counter()
    for seed in seeds:
        try:
            counts += tried(act, Trial(seed)).counts
        except Exception as error:
            raise AssertionError(f"replay: KNARR_SEED={seed} pytest tests/simulation -k {act}") from error
    record_property(PROPERTY, dict(counts))


@pytest.mark.parametrize("act", ACTS)
def test_the_same_seed_gives_the_same_trace(act: str) -> None:
    first = trace(act)
    assert first
    assert trace(act) == first


def trace(act: str) -> list[tuple[str, ...]]:
    """Every change of a world in its order. An Event's name is drawn without a seed: its object stands for it."""

    def look(event: str, one: Json) -> None:
        name = one.get("involvedObject", one["metadata"])["name"]
        seen.append((event, one["kind"], name, one["metadata"]["resourceVersion"]))

    async def watched(world: World) -> None:
        world.api.observers.append(look)
        await ACTS[act].act(world)

    seen: list[tuple[str, ...]] = []
    virtual_time.run(simulate(Trial(7), watched))
    return seen
