"""Upkeep: flow schemas and priority levels of a new cluster stay as they are made, or as their owner wants them.

As upstream: what is deleted comes back; a mandatory object gets its specification back whatever was written; a
suggested one while its annotation `apf.kubernetes.io/autoupdate-spec` is true, or it has none and was never changed.
Upstream looks every minute, this at every change, though not twice in a second. Not here: what the objects do to
requests (gate.py).
"""

import asyncio
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import msgspec

from knarr.apiserver.fairness import configuration
from knarr.base import logs
from knarr.base.errors import AlreadyExists, Conflict, Expired, KnarrError, NotFound
from knarr.base.tasks import Ready
from knarr.client.client import Client
from knarr.kinds.flowcontrol import FLOWSCHEMA, PRIORITYLEVELCONFIGURATION
from knarr.kinds.registry import Kind
from knarr.store.store import Change, Store, Watcher

Json = dict[str, Any]
PRODUCER: Final = "api-priority-and-fairness-config-producer-v1"
PREFIXES: Final[dict[str, Kind]] = {
    "/registry/flowschemas/": FLOWSCHEMA,
    "/registry/prioritylevelconfigurations/": PRIORITYLEVELCONFIGURATION,
}
REST_SECONDS: Final = 1.0
"""Between two restorations of one object, lest two who disagree write as fast as they can."""
RETRY_SECONDS: Final = 60.0
"""After a restoration that failed; upstream looks that often."""
_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
_log = logs.log("apiserver")


class _Outcome(Enum):
    KEPT, WRITTEN, FAILED = range(3)


def restored(stored: Json, default: Json) -> Json | None:
    """What is to be written in place of the stored object; None where it may stay. Pure."""
    metadata = stored["metadata"]
    said = (metadata.get("annotations") or {}).get(configuration.AUTOUPDATE)
    if metadata["name"] in configuration.MANDATORY or said in _TRUE:
        is_ours = True
    else:
        is_ours = said not in _FALSE and metadata.get("generation") == 1
    wanted = dict(stored)
    if said not in (_TRUE if is_ours else _FALSE):
        annotations = {**(metadata.get("annotations") or {}), configuration.AUTOUPDATE: "true" if is_ours else "false"}
        wanted["metadata"] = {**metadata, "annotations": annotations}
    if is_ours:
        wanted["spec"] = default["spec"]
    return None if wanted == stored else wanted


async def run(
    store: Store,
    client: Client,
    ready: Ready,
    *,
    rest_seconds: float = REST_SECONDS,
    retry_seconds: float = RETRY_SECONDS,
) -> None:
    """Keep the objects of both kinds until cancelled."""
    async with asyncio.TaskGroup() as group:
        for prefix, kind in PREFIXES.items():
            keeper = _Keeper(store, client, prefix, kind, rest_seconds, retry_seconds)
            group.create_task(keeper.run(), name=f"upkeep of {prefix}")
        ready()


@dataclass(frozen=True, slots=True)
class _Keeper:
    """Keeps the objects of one kind."""

    store: Store
    client: Client
    prefix: str
    kind: Kind
    rest_seconds: float
    retry_seconds: float

    async def run(self) -> None:
        objects = (each for each in configuration.objects() if each["kind"] == self.kind.kind)
        defaults: dict[str, Json] = {each["metadata"]["name"]: each for each in objects}
        while True:
            watcher = self.store.watch(self.prefix, self.store.revision)
            try:
                await self._follow(watcher, defaults)
            except Expired:
                continue
            except StopAsyncIteration:
                return
            finally:
                watcher.close()

    async def _follow(self, watcher: Watcher, defaults: dict[str, Json]) -> None:
        """Look at every object, and again when it changes; `due` and `rests` say when, and when not before."""
        now = asyncio.get_running_loop().time
        due, rests = dict.fromkeys(defaults, 0.0), dict.fromkeys(defaults, 0.0)
        while True:
            for name in [name for name, moment in due.items() if moment <= now()]:
                del due[name]
                outcome = await self._restore(defaults[name])
                if outcome is not _Outcome.KEPT:
                    rests[name] = now() + self.rest_seconds
                if outcome is _Outcome.FAILED:
                    due[name] = now() + self.retry_seconds
            for change in await _batch(watcher, min(due.values(), default=None)):
                name = change.key.removeprefix(self.prefix)
                if name in rests:
                    due[name] = rests[name]

    async def _restore(self, default: Json) -> "_Outcome":
        kind, name = self.kind, default["metadata"]["name"]
        entry = self.store.get(self.prefix + name)
        try:
            if entry is None:
                await self.client.create(kind, "", default)
                _log.info("%s %s was created again", kind.kind, name)
                return _Outcome.WRITTEN
            wanted = restored(msgspec.json.decode(entry.value), default)
            if wanted is None:
                return _Outcome.KEPT
            body = {**wanted, "metadata": {**wanted["metadata"], "resourceVersion": str(entry.modified)}}
            await self.client.update(kind, "", name, body)
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
