"""An API server over the memory store, asked without a socket."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from knarr.apiserver.context import User
from knarr.apiserver.pipeline import Pipeline
from knarr.apiserver.server import ApiServer
from knarr.store.memory import MemoryStore
from knarr.wire import http

ADMIN = User("admin", ("system:masters", "system:authenticated"))
Json = dict[str, Any]


class Asker:
    """Sends requests as one user and decodes the answers."""

    def __init__(self, pipeline: Pipeline, user: User = ADMIN) -> None:
        self.pipeline = pipeline
        self.server = pipeline.server
        self.user = user

    def as_user(self, user: User) -> "Asker":
        return Asker(self.pipeline, user)

    async def send(
        self, method: str, target: str, body: Any = None, *, media: str = "application/json", accept: str = ""
    ) -> http.Response:
        path, _, query = target.partition("?")
        content = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        headers: http.Headers = (("content-type", media),) + ((("accept", accept),) if accept else ())
        return await self.pipeline.handle_as(http.Request(method, path, query, headers, content), self.user)

    async def __call__(self, method: str, target: str, body: Any = None, **options: str) -> Json:
        """The decoded answer, `code` added when it is none of an object's own fields."""
        response = await self.send(method, target, body, **options)
        assert isinstance(response.body, bytes)
        answer: Json = msgspec.json.decode(response.body)
        return answer

    async def watch(self, target: str) -> AsyncIterator[Json]:
        response = await self.send("GET", target)
        assert response.status == 200, response.body
        assert not isinstance(response.body, bytes)
        async for chunk in response.body:
            for line in chunk.splitlines():
                yield msgspec.json.decode(line)


@pytest.fixture
async def ask() -> Asker:
    asker = Asker(Pipeline(ApiServer(MemoryStore())))
    for name in ("default", "kube-system"):
        await asker("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    await asker("POST", "/api/v1/namespaces/default/serviceaccounts", account)
    return asker


@pytest.fixture
def configmap() -> Callable[..., Json]:
    def made(name: str, **data: str) -> Json:
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}

    return made


Ask = Callable[..., Awaitable[Json]]
