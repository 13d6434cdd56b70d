"""One contract of the Client over both transports: in process, and HTTP on a real loopback socket."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from knarr.apiserver.authn import Authenticator
from knarr.apiserver.context import User
from knarr.apiserver.pipeline import Pipeline
from knarr.apiserver.server import ApiServer
from knarr.base import errors
from knarr.base.clock import SystemClock
from knarr.client import reflector
from knarr.client.cache import Cache
from knarr.client.client import Client, DeleteOptions
from knarr.client.http import HttpTransport
from knarr.client.inprocess import InProcessTransport
from knarr.client.requests import ApiClient
from knarr.kinds.core_config import CONFIGMAP, NAMESPACE
from knarr.kinds.lens.config import ConfigMap
from knarr.store.memory import MemoryStore
from knarr.wire import http, http_client
from knarr.wire.http_server import Server

ADMIN = User("system:admin", ("system:masters",))


@pytest.fixture(params=["in process", "HTTP"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    pipeline = Pipeline(ApiServer(MemoryStore(), SystemClock(), authenticator=Authenticator()))
    await ApiClient(InProcessTransport(pipeline.handle_as, ADMIN)).create(
        NAMESPACE, "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}}
    )
    if request.param == "in process":
        yield ApiClient(InProcessTransport(pipeline.handle_as, ADMIN))
        return

    async def as_admin(asked: http.Request) -> http.Response:
        return await pipeline.handle_as(asked, ADMIN)

    server = Server(as_admin)
    port = await server.listen_tcp("127.0.0.1", 0)
    transport = HttpTransport(http_client.Target("127.0.0.1", port))
    try:
        yield ApiClient(transport)
    finally:
        await transport.close()
        await server.close(grace_seconds=0.0)


def config_map(name: str, **content: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": content}


async def test_an_object_is_created_read_changed_and_deleted(client: Client) -> None:
    created = await client.create(CONFIGMAP, "a", config_map("c", k="1"))
    assert created["metadata"]["uid"] == (await client.get(CONFIGMAP, "a", "c"))["metadata"]["uid"]
    with pytest.raises(errors.AlreadyExists, match='configmaps "c" already exists'):
        await client.create(CONFIGMAP, "a", config_map("c"))
    patched = await client.patch(CONFIGMAP, "a", "c", {"data": {"k": "2"}})
    assert patched["data"] == {"k": "2"}
    with pytest.raises(errors.Conflict):
        await client.update(CONFIGMAP, "a", "c", created)
    with pytest.raises(errors.Conflict):
        await client.delete(CONFIGMAP, "a", "c", DeleteOptions(uid="another"))
    await client.delete(CONFIGMAP, "a", "c", DeleteOptions(uid=created["metadata"]["uid"]))
    with pytest.raises(errors.NotFound, match='configmaps "c" not found'):
        await client.get(CONFIGMAP, "a", "c")


async def test_a_list_and_a_watch_from_its_revision_miss_nothing(client: Client) -> None:
    await client.create(CONFIGMAP, "a", config_map("before"))
    listed = await client.list(CONFIGMAP, "a")
    assert len(listed.items) == 1
    await client.create(CONFIGMAP, "a", config_map("after"))
    await client.delete(CONFIGMAP, "a", "before")
    seen = []
    async with asyncio.timeout(10):
        async for event in client.watch(CONFIGMAP, "a", since=listed.revision):
            if event.type != "BOOKMARK":
                seen.append(event.type)
            if len(seen) == 2:
                break
    assert seen == ["ADDED", "DELETED"]


async def test_a_cache_follows_the_server(client: Client) -> None:
    cache, ready = Cache([CONFIGMAP]), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(reflector.run(client, cache, SystemClock(), ready.set))
        await asyncio.wait_for(ready.wait(), 10)
        written = await client.create(CONFIGMAP, "a", config_map("c", k="1"))
        await cache.reached(CONFIGMAP, int(written["metadata"]["resourceVersion"]))  # type: ignore[arg-type]
        found = cache.get(ConfigMap, "a", "c")
        assert found is not None
        assert found.data == {"k": "1"}
        task.cancel()
