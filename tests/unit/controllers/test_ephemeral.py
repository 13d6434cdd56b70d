"""Ephemeral volumes: a claim is made for the pod that describes it, never for another pod of its name."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import msgspec

from knarr.base import tasks
from knarr.base.clock import LoopClock
from knarr.base.ids import Revision
from knarr.client.cache import Cache
from knarr.client.events import EventRecorder
from knarr.controllers.ephemeral import EphemeralVolumes
from knarr.kinds.core_pod import POD
from knarr.kinds.core_storage import PERSISTENTVOLUMECLAIM
from tests.simulation import virtual_time
from tests.simulation.memory_api import MemoryApi

START = datetime(2030, 1, 1, tzinfo=UTC)
SCRATCH = {"name": "work", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}}
PLAIN = {"name": "other", "emptyDir": {}}


async def claims_made(live_volume: Any, seen: dict[str, Any]) -> list[Any]:
    """What the part makes of a view that has SCRATCH in its pod; `seen` is what the view has in other words."""
    clock = LoopClock(START)
    api, cache = MemoryApi(clock), Cache([POD, PERSISTENTVOLUMECLAIM])
    body = {"metadata": {"name": "p", "namespace": "a"}, "spec": {"volumes": [live_volume], "containers": []}}
    live = await api.create(POD, "a", body)
    old = {**live, "metadata": {**live["metadata"], **seen}, "spec": {**live["spec"], "volumes": [SCRATCH]}}
    cache.replace(POD, [msgspec.json.encode(old)], Revision(1))
    cache.replace(PERSISTENTVOLUMECLAIM, [], Revision(1))
    part = EphemeralVolumes(api, cache, clock, EventRecorder(api, clock, "test"))
    async with asyncio.TaskGroup() as group:
        running = await tasks.start(group, "ephemeral", part.run)
        await asyncio.sleep(0.1)
        running.cancel()
    return api.all(PERSISTENTVOLUMECLAIM)


def test_the_pod_of_the_view_gets_its_claim() -> None:
    (claim,) = virtual_time.run(claims_made(SCRATCH, {}))
    assert claim["metadata"]["name"] == "p-work"


def test_a_later_pod_of_the_name_gets_no_claim_of_the_dead_one() -> None:
    assert virtual_time.run(claims_made(SCRATCH, {"uid": "dead"})) == []


def test_a_later_pod_without_the_volume_stops_nothing() -> None:
    assert virtual_time.run(claims_made(PLAIN, {"uid": "dead"})) == []
