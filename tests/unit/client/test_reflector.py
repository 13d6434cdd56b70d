"""A reflector keeps its cache true across errors and lost history."""

import asyncio
from collections.abc import AsyncIterator

from knarr.base import tasks
from knarr.base.clock import LoopClock
from knarr.base.errors import Expired, Unavailable
from knarr.base.ids import Revision
from knarr.client import reflector
from knarr.client.cache import Cache
from knarr.client.client import ListResult, WatchEvent
from knarr.kinds.core_config import CONFIGMAP
from knarr.kinds.lens.config import ConfigMap
from knarr.kinds.registry import Kind
from tests.simulation import virtual_time
from tests.simulation.cluster import START
from tests.simulation.memory_api import MemoryApi


class Flaky(MemoryApi):
    """Refuses the first lists, and ends every watch after one event: by turns in order, away, and expired."""

    def __init__(self, clock: LoopClock) -> None:
        super().__init__(clock)
        self.refusals = 3
        self.watches = 0

    async def list(self, kind: Kind, namespace: str = "", *, labels: str = "", fields: str = "") -> ListResult:
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("starting")
        return await super().list(kind, namespace)

    async def watch(
        self, kind: Kind, namespace: str = "", *, since: Revision, labels: str = "", fields: str = ""
    ) -> AsyncIterator[WatchEvent]:
        self.watches += 1
        async for event in super().watch(kind, namespace, since=since):
            yield event
            if self.watches % 3 == 1:
                raise Unavailable("restarting")
            if self.watches % 3 == 2:
                raise Expired("compacted")
            return


def test_a_cache_comes_true_whatever_ends_its_watches() -> None:
    async def main() -> None:
        clock = LoopClock(START)
        api, cache = Flaky(clock), Cache([CONFIGMAP])
        async with asyncio.TaskGroup() as group:
            task = await tasks.start(group, "cache", lambda up: reflector.run(api, cache, clock, up))
            for number in range(9):
                await api.create(CONFIGMAP, "a", {"metadata": {"name": f"c{number}"}})
                if number % 2:
                    await api.delete(CONFIGMAP, "a", f"c{number}")
                await asyncio.sleep(1.0 if number % 4 else 0.0)
            await asyncio.sleep(60)
            await tasks.cancel(task)
        assert [one.metadata.name for one in cache.list(ConfigMap)] == ["c0", "c2", "c4", "c6", "c8"]
        assert cache.progress(CONFIGMAP) == api.revision

    virtual_time.run(main())
