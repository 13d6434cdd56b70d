"""The table of controllers, and what runs them all over one shared cache.

assembly/control.py starts `Controllers(client, clock).run(ready)`. The cache is readable from outside (the scheduler
may share it: name further kinds in `kinds`).
"""

import asyncio
from collections.abc import Iterable, Sequence

from knarr.base import tasks
from knarr.base.clock import Clock
from knarr.base.tasks import Ready
from knarr.client import reflector
from knarr.client.cache import Cache
from knarr.client.client import Client
from knarr.client.events import EventRecorder
from knarr.controllers import replicaset, replicationcontroller
from knarr.controllers.controller import Controller
from knarr.controllers.deployment import sync as deployment
from knarr.controllers.runner import Runner
from knarr.kinds.registry import Kind

# One row per controller; the order says nothing.
CONTROLLERS: tuple[Controller, ...] = (
    deployment.CONTROLLER,
    replicaset.CONTROLLER,
    replicationcontroller.CONTROLLER,
)


def all_controllers() -> Sequence[Controller]:
    """Every controller of knarr."""
    return CONTROLLERS


def kinds_of(controllers: Iterable[Controller]) -> Sequence[Kind]:
    """Every kind that these controllers look at, once."""
    found: dict[Kind, None] = {}
    for controller in controllers:
        for kind in (controller.kind, *controller.owns, *controller.watches, *controller.reads):
            found.setdefault(kind)
    return tuple(found)


class Controllers:
    """Controllers over one cache. `run` never returns."""

    def __init__(
        self,
        client: Client,
        clock: Clock,
        *,
        controllers: Sequence[Controller] | None = None,
        kinds: Iterable[Kind] = (),
    ) -> None:
        chosen = all_controllers() if controllers is None else controllers
        self._client = client
        self._clock = clock
        self.cache = Cache(dict.fromkeys([*kinds_of(chosen), *kinds]))
        self._recorders = {one.name: EventRecorder(client, clock, one.name) for one in chosen}
        self._runners = {one.name: Runner(one, client, self.cache, clock, self._recorders[one.name]) for one in chosen}

    @property
    def is_idle(self) -> bool:
        """No controller has anything to plan; timers may stand."""
        return all(runner.is_idle for runner in self._runners.values())

    def why(self, controller: str, namespace: str, name: str) -> str:
        """In words, what this controller's object waits for; "" when nothing."""
        return self._runners[controller].why((namespace, name))

    async def run(self, ready: Ready) -> None:
        """Fill the cache, then run every controller until cancelled."""
        async with asyncio.TaskGroup() as group:
            await tasks.start(
                group,
                "controllers' cache",
                lambda listed: reflector.run(self._client, self.cache, self._clock, listed),
            )
            for name, recorder in self._recorders.items():
                await tasks.start(group, f"{name} events", recorder.run)
                await tasks.start(group, name, self._runners[name].run)
            ready()
