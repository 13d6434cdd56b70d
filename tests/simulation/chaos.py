"""Faults of a seeded simulation: refused and half-done writes, late, doubled and lost watch events, and crashes.

A crash is exact: from that write on, everything that the dead incarnation asks for never answers; then it is cancelled
and a new one starts from an empty cache. Every fault that really happened is counted.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from knarr.base.errors import Conflict, Unavailable
from knarr.base.ids import Revision
from knarr.client.client import DeleteOptions, Json, ListResult, PatchType, WatchEvent
from knarr.kinds.core_config import EVENT
from knarr.kinds.registry import Kind
from tests.simulation.memory_api import PLAIN, Delivery, Faults, MemoryApi


@dataclass(frozen=True, slots=True)
class Weather:
    """How often what goes wrong: shares of writes and of events, and by how much a kind's events are late at most."""

    refused: float = 0.0
    late_seconds: float = 0.0
    doubled: float = 0.0
    lost: float = 0.0


CALM: Final = Weather()
SILENT_SECONDS: Final = 4.0
"""The longest silence of a watch before it is cut: longer than pods take to start and to stop here."""


def drawn(chance: random.Random) -> Weather:
    """Some weather: often bad in one way, sometimes in all."""
    return Weather(
        refused=chance.choice([0.0, 0.02, 0.1]),
        late_seconds=chance.choice([0.0, 0.5, 3.0]),
        doubled=chance.choice([0.0, 0.1]),
        lost=chance.choice([0.0, 0.01, 0.05]),
    )


class SeededFaults(Faults):
    """Each write may be refused, or answered with an error although it happened; a view may be stale: each kind's
    events are late by a measure of its own, so that pods may be known long before their owner or long after."""

    def __init__(self, seed: int, weather: Weather) -> None:
        self._random = random.Random(seed)
        self._weather = weather
        self._late: dict[Kind, float] = {}
        self.counts: Counter[str] = Counter()

    def stop(self) -> None:
        self._weather = CALM
        self._late.clear()

    def before_write(self, verb: str, kind: Kind, name: str) -> None:
        if self._random.random() < self._weather.refused:
            self.counts["writes refused"] += 1
            raise self._random.choice([Conflict, Unavailable])(f"before {verb} {name}")

    def after_write(self, verb: str, kind: Kind, name: str) -> None:
        if self._random.random() < self._weather.refused:
            self.counts["writes done but answered with an error"] += 1
            raise Unavailable(f"after {verb} {name}")

    def delivery(self, kind: Kind) -> Delivery:
        weather = self._weather
        if weather is CALM:
            return PLAIN
        if kind not in self._late:
            self._late[kind] = self._random.choice([0.0, weather.late_seconds])
        late = self._random.random() * self._late[kind]
        is_doubled = self._random.random() < weather.doubled
        is_lost = self._random.random() < weather.lost
        self.counts["events late"] += late > 0
        self.counts["events doubled"] += is_doubled
        self.counts["watches cut, their events lost"] += is_lost
        return Delivery(late, is_doubled, self._random.random() * SILENT_SECONDS if is_lost else 0.0)


class Incarnation:
    """The API as one incarnation of the controllers sees it; it dies at its `fatal`th write (0: never)."""

    def __init__(self, api: MemoryApi, fatal: int, *, dies_before: bool) -> None:
        self._api = api
        self._fatal = fatal
        self._dies_before = dies_before
        self.writes = 0
        self.died = asyncio.Event()

    async def _hang_if_dead(self) -> None:
        if self.died.is_set():
            await asyncio.Event().wait()

    async def _write(self, kind: Kind, call: Callable[[], Awaitable[Any]]) -> Any:
        await self._hang_if_dead()
        if kind == EVENT:
            return await call()
        self.writes += 1
        if self.writes == self._fatal and self._dies_before:
            self.died.set()
        await self._hang_if_dead()
        result = await call()
        if self.writes == self._fatal:
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
