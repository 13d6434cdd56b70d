"""The runner: batches, and what an ambiguous failure makes it look up first."""

import asyncio

from knarr.base import tasks
from knarr.base.clock import Instant, LoopClock
from knarr.base.errors import Forbidden, Unavailable
from knarr.client.view import View
from knarr.controllers import runner
from knarr.controllers.controller import Controller, Create, Delete, EventNote, Patch, Plan
from knarr.controllers.registry import Controllers
from knarr.kinds.core_config import CONFIGMAP, EVENT, NAMESPACE, SECRET
from knarr.kinds.lens.config import ConfigMap, Namespace
from knarr.kinds.registry import Kind
from tests.simulation import virtual_time
from tests.simulation.cluster import START
from tests.simulation.memory_api import Delivery, Faults, MemoryApi


def create(name: str) -> Create:
    return Create(CONFIGMAP, "a", {"metadata": {"name": name}})


def test_creates_start_slowly_and_deletes_go_together() -> None:
    actions = [*(create(str(n)) for n in range(8)), Patch(SECRET, "a", "s", {}), Patch(SECRET, "a", "t", {})]
    actions += [Delete(CONFIGMAP, "a", str(n)) for n in range(20)]
    assert [len(batch) for batch in runner.batches(actions)] == [1, 2, 4, 1, 1, 1, 16, 4]


def plan(namespace: Namespace, view: View, _now: Instant) -> Plan:
    """Three ConfigMaps with names that the server chooses: doing it twice would show."""
    missing = 3 - len(view.list(ConfigMap, namespace.metadata.name))
    body = {"metadata": {"generateName": "c-"}}
    note = EventNote("Normal", "Made", "made {name}")
    action = Create(CONFIGMAP, namespace.metadata.name, body, note=note)
    return Plan([action] * missing, why=f"{missing} are missing" if missing else "")


def failed(_root: Namespace, _action: object, error: Exception, _view: View, _now: Instant) -> Plan:
    return Plan(events=[EventNote("Warning", "NotMade", str(error))])


CONTROLLER = Controller(
    "three", kind=NAMESPACE, plan=plan, watches={CONFIGMAP: lambda one, _: [("", one.metadata.namespace)]},
    writes=(CONFIGMAP,), failed=failed,
)  # fmt: skip


class Script(Faults):
    """The first creates of ConfigMaps: refused before, answered with an error after, forbidden."""

    def __init__(self) -> None:
        self.creates = 0

    def before_write(self, verb: str, kind: Kind, name: str) -> None:
        if kind == CONFIGMAP:
            self.creates += 1
            if self.creates == 1:
                raise Unavailable("nothing happened")
            if self.creates == 3:
                raise Forbidden("exceeded quota")

    def after_write(self, verb: str, kind: Kind, name: str) -> None:
        if kind == CONFIGMAP and self.creates == 2:
            raise Unavailable("it happened")

    def delivery(self, kind: Kind) -> Delivery:
        return Delivery(late_seconds=2.0 if kind == CONFIGMAP else 0.0)


def test_nothing_is_made_twice_although_answers_get_lost_and_the_view_is_late() -> None:
    async def main() -> None:
        clock = LoopClock(START)
        api = MemoryApi(clock, faults=Script())
        controllers = Controllers(api, clock, controllers=[CONTROLLER], collected=[])
        await api.create(NAMESPACE, "", {"metadata": {"name": "a"}})
        async with asyncio.TaskGroup() as group:
            task = await tasks.start(group, "controllers", controllers.run)
            await asyncio.sleep(1)
            assert not controllers.is_idle  # It waits for the view.
            await asyncio.sleep(60)
            assert controllers.is_idle
            await tasks.cancel(task)
        assert len(api.all(CONFIGMAP)) == 3
        assert controllers.why("three", "", "a") == ""
        told = sorted((one["reason"], one["message"][:5]) for one in api.all(EVENT))
        assert ("NotMade", "excee") in told
        assert sum(reason == "Made" for reason, _ in told) == 2  # Of the lost answer nobody knows the name.

    virtual_time.run(main())
