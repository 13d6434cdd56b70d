"""One seeded run: the API, the kubelet, and controllers that die and come back, again and again.

Not here: what users do meanwhile (acts.py), what must hold (safety.py).
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass

from knarr.base import tasks
from knarr.base.clock import LoopClock
from knarr.client.client import Client, Json
from knarr.controllers.controller import Controller
from knarr.controllers.registry import Controllers, all_controllers
from knarr.kinds.core_config import NODE
from tests.simulation import chaos
from tests.simulation.chaos import Incarnation, SeededFaults, Weather
from tests.simulation.cluster import COLLECTED, START, MemoryKubelet
from tests.simulation.memory_api import MemoryApi
from tests.simulation.safety import Watchman

# Those whose objects the acts make: others would only watch what never comes, thousands of times.
CHOSEN = [one for one in all_controllers() if one.kind in (*COLLECTED, NODE) and one.name != "node-controller"]


@dataclass(frozen=True, slots=True)
class Life:
    """At which of its writes an incarnation dies (0: never), and whether before that write or after it."""

    fatal: int
    dies_before: bool


@dataclass(frozen=True, slots=True)
class Trial:
    """What a world is made of. `weather` and `lives` are drawn from the seed where they are not given; `seen` lets a
    test put its own client between the controllers and the API."""

    seed: int
    weather: Weather | None = None
    lives: Sequence[Life] | None = None
    controllers: Sequence[Controller] = tuple(CHOSEN)
    seen: Callable[[Client], Client] = lambda client: client


class World:
    """Everything of one run."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.random = random.Random(trial.seed)
        self.clock = LoopClock(START)
        weather = chaos.drawn(self.random) if trial.weather is None else trial.weather
        self.faults = SeededFaults(trial.seed, weather)
        self.api = MemoryApi(self.clock, trial.seed)
        self.watchman = Watchman(self.api)
        self.kubelet = MemoryKubelet(self.api, self.clock)
        self.kubelet.start_seconds = self.random.choice([0.1, 1.0, 3.0])
        self.controllers: Controllers | None = None
        self.is_calm = False
        self.writes = 0
        self.counts: Counter[str] = Counter()

    def _lives(self) -> Iterator[Life]:
        if self.trial.lives is not None:
            yield from self.trial.lives
        while self.trial.lives is None and not self.is_calm:
            yield Life(self.random.randint(1, 60), dies_before=self.random.random() < 0.5)
        yield Life(0, dies_before=False)

    async def live(self) -> None:
        """Controllers, one incarnation after the other."""
        for life in self._lives():
            client = Incarnation(self.api, life.fatal, dies_before=life.dies_before)
            self.controllers = Controllers(
                self.trial.seen(client), self.clock, controllers=self.trial.controllers, collected=COLLECTED
            )
            running = asyncio.create_task(self.controllers.run(lambda: None))
            try:
                await client.died.wait()
                self.counts[f"crashes {'before' if life.dies_before else 'after'} a write"] += 1
                assert self.controllers.crashes == 0, "a plan raised; the log says which"
            finally:
                self.writes += client.writes
                await tasks.cancel(running)

    async def settle(self) -> None:
        """Let everything come to rest in good weather."""
        self.is_calm = True
        self.faults.stop()
        quiet = 0
        for _ in range(300):
            before = self.api.revision
            await asyncio.sleep(5.0)
            assert self.controllers is not None
            quiet = quiet + 1 if self.api.revision == before and self.controllers.is_idle else 0
            if quiet == 8:  # Longer than any back-off that a fault left behind.
                return
        raise AssertionError("the world does not come to rest")


async def simulate(trial: Trial, act: Callable[[World], Awaitable[None]]) -> World:
    """The world after an act, at rest. Raises if a plan crashed; broken sentences are in its watchman."""
    world = World(trial)
    for node in world.kubelet.nodes:
        await world.api.create(NODE, "", node_body(node))
    world.api.faults = world.faults
    async with asyncio.TaskGroup() as group:
        started = [await tasks.start(group, "kubelet", world.kubelet.run), group.create_task(world.live())]
        await act(world)
        await world.settle()
        assert world.controllers is not None
        assert world.controllers.crashes == 0, "a plan raised; the log says which"
        for task in started:
            await tasks.cancel(task)
    world.counts += world.faults.counts
    world.counts["worlds"] += 1
    world.counts["writes of controllers"] += world.writes
    world.counts["safety checks"] += world.watchman.checks
    return world


def node_body(name: str) -> Json:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}}


async def insist(call: Callable[[], Awaitable[object]]) -> None:
    """A user who tries again."""
    for _ in range(50):
        try:
            await call()
            return
        except Exception as error:
            if "already exists" in str(error):
                return
            await asyncio.sleep(0.1)
