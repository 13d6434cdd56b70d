"""Faults of a seeded simulation: refused and half-done writes, late watch events, and crashes of the controllers.

A crash is exact: from that write on, everything that the dead incarnation asks for never answers; then it is cancelled
and a new one starts from an empty cache.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from knarr.base.errors import Conflict, Unavailable
from knarr.base.ids import Revision
from knarr.client.client import DeleteOptions, Json, ListResult, PatchType, WatchEvent
from knarr.kinds.core_config import EVENT
from knarr.kinds.registry import Kind
from tests.simulation.memory_api import Faults, MemoryApi


class SeededFaults(Faults):
    """Each write may be refused, or answered with an error although it happened; watches are late."""

    def __init__(self, seed: int, *, rate: float, lag_seconds: float) -> None:
        self._random = random.Random(seed)
        self._rate = rate
        self._lag = lag_seconds

    def stop(self) -> None:
        self._rate = self._lag = 0.0

    def before_write(self, verb: str, kind: Kind, name: str) -> None:
        if self._random.random() < self._rate:
            raise self._random.choice([Conflict, Unavailable])(f"before {verb} {name}")

    def after_write(self, verb: str, kind: Kind, name: str) -> None:
        if self._random.random() < self._rate:
            raise Unavailable(f"after {verb} {name}")

    def lag(self, kind: Kind) -> float:
        return self._random.random() * self._lag


class Incarnation:
    """The API as one incarnation of the controllers sees it; it dies at its `fatal`th write (0: never)."""

    def __init__(self, api: MemoryApi, fatal: int, *, dies_before: bool) -> None:
        self._api = api
        self._left = fatal
        self._dies_before = dies_before
        self.died = asyncio.Event()

    async def _hang_if_dead(self) -> None:
        if self.died.is_set():
            await asyncio.Event().wait()

    async def _write(self, kind: Kind, call: Callable[[], Awaitable[Any]]) -> Any:
        await self._hang_if_dead()
        if kind == EVENT:
            return await call()
        self._left -= 1
        if self._left == 0 and self._dies_before:
            self.died.set()
        await self._hang_if_dead()
        result = await call()
        if self._left == 0:
            self.died.set()
        await self._hang_if_dead()
        return result

    async def get(self, kind: Kind, namespace: str, name: str) -> Json:
        await self._hang_if_dead()
        return await self._api.get(kind, namespace, name)

    async def list(self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = "") -> ListResult:
        await self._hang_if_dead()
        return await self._api.list(kind, namespace, labels=labels, fields=fields)

    async def watch(
        self, kind: Kind, namespace: str = "", *, since: Revision, labels: str = "", fields: str = ""
    ) -> AsyncIterator[WatchEvent]:
        async for event in self._api.watch(kind, namespace, since=since, labels=labels, fields=fields):
            await self._hang_if_dead()
            yield event

    async def create(self, kind: Kind, namespace: str, body: Json, *, name: str = "", subresource: str = "") -> Json:
        def call() -> Awaitable[Json]:
            return self._api.create(kind, namespace, body, name=name, subresource=subresource)

        created: Json = await self._write(kind, call)
        return created

    async def update(self, kind: Kind, namespace: str, name: str, body: Json, *, subresource: str = "") -> Json:
        def call() -> Awaitable[Json]:
            return self._api.update(kind, namespace, name, body, subresource=subresource)

        updated: Json = await self._write(kind, call)
        return updated

    async def patch(
        self, kind: Kind, namespace: str, name: str, body: Any, *, patch: PatchType = "merge", subresource: str = ""
    ) -> Json:
        def call() -> Awaitable[Json]:
            return self._api.patch(kind, namespace, name, body, patch=patch, subresource=subresource)

        patched: Json = await self._write(kind, call)
        return patched

    async def delete(self, kind: Kind, namespace: str, name: str, options: DeleteOptions | None = None) -> None:
        await self._write(kind, lambda: self._api.delete(kind, namespace, name, options))
