"""The objects of priority and fairness that a cluster begins with: exact, and restored when they are lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from knarr.apiserver.bootstrap import objects as bootstrap
from knarr.apiserver.context import User
from knarr.apiserver.fairness import configuration, upkeep
from knarr.apiserver.pipeline import Pipeline, refusal
from knarr.apiserver.server import ApiServer
from knarr.base import tasks
from knarr.base.errors import Forbidden
from knarr.client.inprocess import InProcessTransport
from knarr.client.requests import ApiClient
from knarr.store.memory import MemoryStore
from knarr.wire import http
from tests.unit.apiserver.conftest import Asker

API = "/apis/flowcontrol.apiserver.k8s.io/v1"
MERGE = "application/merge-patch+json"
Json = dict[str, Any]


@asynccontextmanager
async def cluster(*, refused: int = 0, **seconds: float) -> AsyncIterator[Asker]:
    """A cluster whose upkeep runs, and is refused so many writes first."""
    pipeline = Pipeline(ApiServer(MemoryStore()))
    await bootstrap.run(pipeline, service_address="10.96.0.1", port=6443)
    left = refused

    async def answer(request: http.Request, user: User) -> http.Response:
        nonlocal left
        if left:
            left -= 1
            return refusal(Forbidden("not now"), {})
        return await pipeline.handle_as(request, user)

    client = ApiClient(InProcessTransport(answer, bootstrap.LOOPBACK), upkeep.PRODUCER)
    store = pipeline.server.store
    async with asyncio.TaskGroup() as group:
        running = await tasks.start(group, "upkeep", lambda up: upkeep.run(store, client, up, **seconds))
        yield Asker(pipeline)
        running.cancel()


@pytest.fixture
async def ask() -> AsyncIterator[Asker]:
    async with cluster(rest_seconds=0) as asker:
        yield asker


async def written(ask: Asker, change: Any, count: int = 2) -> None:
    """Do the change and wait until so many writes have been made: its own and those that restore."""
    store = ask.server.store
    watcher = store.watch("/registry/", store.revision)
    await change
    async with asyncio.timeout(10):
        for _ in range(count):
            await anext(watcher)
    watcher.close()


async def test_a_new_cluster_needs_no_upkeep(ask: Asker) -> None:
    for default in configuration.objects():
        plural = "flowschemas" if default["kind"] == "FlowSchema" else "prioritylevelconfigurations"
        stored = await ask("GET", f"{API}/{plural}/{default['metadata']['name']}")
        assert (stored["spec"], upkeep.restored(stored, default)) == (default["spec"], None)


@pytest.mark.parametrize("name", ["catch-all", "service-accounts"])
async def test_what_is_deleted_comes_back(ask: Asker, name: str) -> None:
    await written(ask, ask("DELETE", f"{API}/flowschemas/{name}"))
    assert (await ask("GET", f"{API}/flowschemas/{name}"))["spec"] == configuration.schema(name)["spec"]


async def test_a_restoration_that_failed_is_tried_again() -> None:
    async with cluster(refused=2, retry_seconds=0.001) as ask:
        await written(ask, ask("DELETE", f"{API}/flowschemas/probes"))
        assert (await ask("GET", f"{API}/flowschemas/probes"))["spec"] == configuration.schema("probes")["spec"]


async def test_an_object_is_not_restored_again_at_once() -> None:
    async with cluster(rest_seconds=3600) as ask:
        await written(ask, ask("DELETE", f"{API}/flowschemas/probes"))
        await ask("DELETE", f"{API}/flowschemas/probes")
        await written(ask, ask("DELETE", f"{API}/flowschemas/catch-all"))  # the upkeep has seen the change before
        assert (await ask("GET", f"{API}/flowschemas/probes"))["code"] == 404


async def test_a_mandatory_object_gets_its_specification_back_whatever_its_annotation_says(ask: Asker) -> None:
    path = f"{API}/prioritylevelconfigurations/catch-all"
    patch = {
        "metadata": {"annotations": {configuration.AUTOUPDATE: "false"}},
        "spec": {"limited": {"nominalConcurrencyShares": 500}},
    }
    await written(ask, ask("PATCH", path, patch, media=MERGE))
    found = await ask("GET", path)
    assert found["spec"] == configuration.level("catch-all")["spec"]
    assert found["metadata"]["annotations"] == {configuration.AUTOUPDATE: "true"}


async def test_a_suggested_object_is_its_owners_once_it_says_so(ask: Asker) -> None:
    path = f"{API}/prioritylevelconfigurations/workload-low"
    patch: Json = {"spec": {"limited": {"nominalConcurrencyShares": 7}}}
    await written(ask, ask("PATCH", path, patch, media=MERGE))
    shares = (await ask("GET", path))["spec"]["limited"]["nominalConcurrencyShares"]
    patch["metadata"] = {"annotations": {configuration.AUTOUPDATE: "false"}}
    await ask("PATCH", path, patch, media=MERGE)
    await written(ask, ask("DELETE", f"{API}/flowschemas/probes"))  # the upkeep has seen the change before
    kept = (await ask("GET", path))["spec"]["limited"]["nominalConcurrencyShares"]
    assert (shares, kept) == (100, 7)


@pytest.mark.parametrize(("generation", "said"), [(1, "true"), (2, "false")])
def test_an_object_without_the_annotation_is_the_servers_until_it_was_changed(generation: int, said: str) -> None:
    default = configuration.schema("probes")
    stored: Json = {**default, "metadata": {"name": "probes", "generation": generation}}
    restored = upkeep.restored(stored, default)
    assert restored is not None
    assert restored["metadata"]["annotations"] == {configuration.AUTOUPDATE: said}


def test_leases_are_matched_in_namespaces_only() -> None:
    (rule,) = configuration.schema("system-leader-election")["spec"]["rules"]
    assert [each.get("clusterScope", False) for each in rule["resourceRules"]] == [False]
    assert len(rule["subjects"]) == 3
