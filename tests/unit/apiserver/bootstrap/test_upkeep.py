"""The `kubernetes` Service and its endpoints come back when they are deleted."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from knarr.apiserver.bootstrap import objects, upkeep
from knarr.apiserver.pipeline import Pipeline
from knarr.apiserver.server import ApiServer
from knarr.base import tasks
from knarr.store.memory import MemoryStore
from tests.unit.apiserver.conftest import Asker

SERVICE = "/api/v1/namespaces/default/services/kubernetes"
SLICE = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"
ENDPOINTS = "/api/v1/namespaces/default/endpoints/kubernetes"
MERGE = "application/merge-patch+json"


@pytest.fixture
async def ask() -> AsyncIterator[Asker]:
    pipeline = Pipeline(ApiServer(MemoryStore()))
    where = {"service_address": "10.96.0.1", "port": 6443, "address": "10.244.0.1"}
    await objects.run(pipeline, **where)
    before = pipeline.server.store.revision
    async with asyncio.TaskGroup() as group:
        running = await tasks.start(group, "upkeep", lambda up: upkeep.run(pipeline, up, **where, rest_seconds=0))
        assert pipeline.server.store.revision == before
        yield Asker(pipeline)
        running.cancel()


async def written(ask: Asker, change: Any, count: int = 2) -> None:
    """Do the change and wait until so many writes have been made: its own and those that restore."""
    watcher = ask.server.store.watch("/registry/", ask.server.store.revision)
    await change
    async with asyncio.timeout(10):
        for _ in range(count):
            await anext(watcher)
    watcher.close()


async def test_the_service_comes_back_at_its_address(ask: Asker) -> None:
    before = await ask("GET", SERVICE)
    await written(ask, ask("DELETE", SERVICE))
    found = await ask("GET", SERVICE)
    assert found["spec"] == before["spec"]
    assert found["metadata"]["uid"] != before["metadata"]["uid"]


@pytest.mark.parametrize(("path", "part"), [(SLICE, "endpoints"), (ENDPOINTS, "subsets")])
async def test_its_endpoints_come_back_deleted_or_changed(ask: Asker, path: str, part: str) -> None:
    before = (await ask("GET", path))[part]
    await written(ask, ask("DELETE", path))
    assert (await ask("GET", path))[part] == before
    await written(ask, ask("PATCH", path, {part: []}, media=MERGE))
    assert (await ask("GET", path))[part] == before


async def test_a_service_that_was_changed_stays_changed(ask: Asker) -> None:
    await ask("PATCH", SERVICE, {"metadata": {"labels": {"mine": "yes"}}}, media=MERGE)
    await written(ask, ask("DELETE", SLICE))  # the upkeep has seen the change before
    assert (await ask("GET", SERVICE))["metadata"]["labels"]["mine"] == "yes"


async def test_the_endpoints_as_they_are_stored_need_no_restoring(ask: Asker) -> None:
    for path, default in zip((ENDPOINTS, SLICE), objects.endpoints("10.244.0.1", 6443), strict=True):
        stored = await ask("GET", path)
        assert stored["kind"] == default["kind"]
        assert upkeep.restored_endpoints(stored, default) is None
        await written(ask, ask("DELETE", path))
        assert upkeep.restored_endpoints(await ask("GET", path), default) is None
