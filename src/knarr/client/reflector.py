"""Reflectors: keep a Cache true by list and watch, one task per kind.

Decisions about restarts are client/resume.py's; what an event means is client/cache.py's. `run` reports ready when
every kind has been listed once.
"""

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from knarr.base import logs
from knarr.base.backoff import Backoff
from knarr.base.clock import Clock
from knarr.base.errors import KnarrError
from knarr.base.ids import Revision
from knarr.base.tasks import Ready
from knarr.client import resume
from knarr.client.cache import Cache
from knarr.client.client import Client
from knarr.kinds.registry import Kind

_log = logs.log("client")
FAILURES: Final = (KnarrError, OSError)
"""What a server that is away or restarts looks like; anything else is a bug and ends the reflector."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a kind a cache holds; everything by default."""

    namespace: str = ""
    labels: str = ""
    fields: str = ""


async def run(
    client: Client, cache: Cache, clock: Clock, ready: Ready, *, selections: Mapping[Kind, Selection] | None = None
) -> None:
    """Keep all kinds of the cache until cancelled."""
    chosen = selections or {}
    async with asyncio.TaskGroup() as group:
        listed = []
        for kind in cache.kinds:
            event = asyncio.Event()
            listed.append(event)
            reflector = Reflector(client, cache, clock, kind, selection=chosen.get(kind, Selection()))
            group.create_task(reflector.run(event.set), name=f"reflect {kind.plural}")
        for event in listed:
            await event.wait()
        ready()


class Reflector:
    """Keeps one kind of a cache."""

    def __init__(self, client: Client, cache: Cache, clock: Clock, kind: Kind, *, selection: Selection) -> None:
        self._client = client
        self._cache = cache
        self._clock = clock
        self._kind = kind
        self._selection = selection
        self._revision = Revision(0)
        self._progressed = False

    async def run(self, ready: Ready) -> None:
        """List, watch, and start over as client/resume.py says; never returns."""
        step = resume.Next(relist=True, delay=0.0, backoff=Backoff())
        while True:
            if step.delay:
                # The back-off of a server that is away: the only timer here.
                await asyncio.sleep(step.delay)
            if step.relist:
                try:
                    await self._list()
                except FAILURES as error:
                    step = resume.after_list_failed(step.backoff, self._clock.now())
                    self._report("list", error, step)
                    continue
                ready()
            ended = await self._watch()
            step = resume.after_watch(ended, step.backoff, self._clock.now(), progressed=self._progressed)
            if ended is not None:
                self._report("watch", ended, step)

    async def _list(self) -> None:
        chosen = self._selection
        listed = await self._client.list(self._kind, chosen.namespace, labels=chosen.labels, fields=chosen.fields)
        self._cache.replace(self._kind, listed.items, listed.revision)
        self._revision = listed.revision

    async def _watch(self) -> Exception | None:
        """Feed the cache until the watch ends; None when the server ended it in order."""
        chosen = self._selection
        self._progressed = False
        events = self._client.watch(
            self._kind, chosen.namespace, since=self._revision, labels=chosen.labels, fields=chosen.fields
        )
        try:
            async for event in events:
                self._revision = max(self._revision, self._cache.apply(self._kind, event))
                self._progressed = True
        except FAILURES as error:
            return error
        finally:
            close = getattr(events, "aclose", None)
            if close is not None:
                with contextlib.suppress(*FAILURES):
                    await close()
        return None

    def _report(self, verb: str, error: Exception, step: resume.Next) -> None:
        text = logs.fields(error=f"{type(error).__name__}: {error}", relist=step.relist, retry_seconds=step.delay)
        _log.info("%s %s ended %s", self._kind.plural, verb, text)
