"""Keeping: objects that the API server itself makes stay as they are to be, whoever deletes or changes them.

A `Keeper` looks at every change of a kind's objects below one prefix of the store, though not twice in a second at one
object. Which objects, and what is to be written in place of a stored one, its user says: fairness/upkeep.py for
flow schemas and priority levels, bootstrap/upkeep.py for the `kubernetes` Service.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import msgspec

from knarr.base import logs
from knarr.base.errors import AlreadyExists, Conflict, Expired, KnarrError, NotFound
from knarr.client.client import Client
from knarr.kinds.registry import Kind
from knarr.store.store import Change, Store, Watcher

Json = dict[str, Any]
REST_SECONDS: Final = 1.0
"""Between two restorations of one object, lest two who disagree write as fast as they can."""
RETRY_SECONDS: Final = 60.0
"""After a restoration that failed; upstream looks that often."""
_log = logs.log("apiserver")


class _Outcome(Enum):
    KEPT, WRITTEN, FAILED = range(3)


@dataclass(frozen=True, slots=True)
class Keeper:
    """Keeps the objects of one kind. `defaults` by name; `restored(stored, default)` is what is to be written in place
    of the stored object, or None where it may stay."""

    store: Store
    client: Client
    prefix: str
    kind: Kind
    defaults: Mapping[str, Json]
    restored: Callable[[Json, Json], Json | None]
    namespace: str = ""
    rest_seconds: float = REST_SECONDS
    retry_seconds: float = RETRY_SECONDS

    async def run(self) -> None:
        """Keep them until cancelled."""
        while True:
            watcher = self.store.watch(self.prefix, self.store.revision)
            try:
                await self._follow(watcher)
            except Expired:
                continue
            except StopAsyncIteration:
                return
            finally:
                watcher.close()

    async def _follow(self, watcher: Watcher) -> None:
        """Look at every object, and again when it changes; `due` and `rests` say when, and when not before."""
        now = asyncio.get_running_loop().time
        due, rests = dict.fromkeys(self.defaults, 0.0), dict.fromkeys(self.defaults, 0.0)
        while True:
            for name in [name for name, moment in due.items() if moment <= now()]:
                del due[name]
                outcome = await self._restore(self.defaults[name])
                if outcome is not _Outcome.KEPT:
                    rests[name] = now() + self.rest_seconds
                if outcome is _Outcome.FAILED:
                    due[name] = now() + self.retry_seconds
            for change in await _batch(watcher, min(due.values(), default=None)):
                name = change.key.removeprefix(self.prefix)
                if name in rests:
                    due[name] = rests[name]

    async def _restore(self, default: Json) -> _Outcome:
        kind, name = self.kind, default["metadata"]["name"]
        entry = self.store.get(self.prefix + name)
        try:
            if entry is None:
                await self.client.create(kind, self.namespace, default)
                _log.info("%s %s was created again", kind.kind, name)
                return _Outcome.WRITTEN
            wanted = self.restored(msgspec.json.decode(entry.value), default)
            if wanted is None:
                return _Outcome.KEPT
            body = {**wanted, "metadata": {**wanted["metadata"], "resourceVersion": str(entry.modified)}}
            await self.client.update(kind, self.namespace, name, body)
            _log.info("%s %s was given back its default", kind.kind, name)
        except (AlreadyExists, Conflict, NotFound):
            return _Outcome.KEPT  # somebody was quicker; that change comes as well
        except KnarrError as error:
            _log.error("%s %s could not be restored %s", kind.kind, name, logs.fields(error=error))
            return _Outcome.FAILED
        return _Outcome.WRITTEN


async def _batch(watcher: Watcher, until: float | None) -> list[Change]:
    """The next changes; none once that moment of the loop has come."""
    alarm = None if until is None else asyncio.get_running_loop().call_at(until, watcher.nudge)
    try:
        return await watcher.batch()
    finally:
        if alarm is not None:
            alarm.cancel()
