"""Upkeep: flow schemas and priority levels of a new cluster stay as they are made, or as their owner wants them.

As upstream: what is deleted comes back; a mandatory object gets its specification back whatever was written; a
suggested one while its annotation `apf.kubernetes.io/autoupdate-spec` is true, or it has none and was never changed.
Upstream looks every minute, this at every change. Not here: what the objects do to requests (gate.py).
"""

import asyncio
from typing import Any, Final

import msgspec

from knarr.apiserver.fairness import configuration
from knarr.base import logs
from knarr.base.errors import Conflict, Expired, KnarrError, NotFound
from knarr.base.tasks import Ready
from knarr.client.client import Client
from knarr.kinds.flowcontrol import FLOWSCHEMA, PRIORITYLEVELCONFIGURATION
from knarr.kinds.registry import Kind
from knarr.store.store import Store

Json = dict[str, Any]
PRODUCER: Final = "api-priority-and-fairness-config-producer-v1"
PREFIXES: Final[dict[str, Kind]] = {
    "/registry/flowschemas/": FLOWSCHEMA,
    "/registry/prioritylevelconfigurations/": PRIORITYLEVELCONFIGURATION,
}
_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
_log = logs.log("apiserver")


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


async def run(store: Store, client: Client, ready: Ready) -> None:
    """Keep the objects of both kinds until cancelled."""
    async with asyncio.TaskGroup() as group:
        for prefix, kind in PREFIXES.items():
            group.create_task(_keep(store, client, prefix, kind), name=f"upkeep of {prefix}")
        ready()


async def _keep(store: Store, client: Client, prefix: str, kind: Kind) -> None:
    defaults = {each["metadata"]["name"]: each for each in configuration.objects() if each["kind"] == kind.kind}
    while True:
        watcher = store.watch(prefix, store.revision)
        try:
            await _restore(store, client, prefix, kind, list(defaults.values()))
            while changes := await watcher.batch():
                names = {change.key.removeprefix(prefix) for change in changes}
                some = [defaults[name] for name in sorted(names & defaults.keys())]
                await _restore(store, client, prefix, kind, some)
        except Expired:
            continue
        except StopAsyncIteration:
            return
        finally:
            watcher.close()


async def _restore(store: Store, client: Client, prefix: str, kind: Kind, some: list[Json]) -> None:
    for default in some:
        name = default["metadata"]["name"]
        entry = store.get(prefix + name)
        try:
            if entry is None:
                await client.create(kind, "", default)
                _log.info("%s %s was created again", kind.kind, name)
                continue
            wanted = restored(msgspec.json.decode(entry.value), default)
            if wanted is not None:
                body = {**wanted, "metadata": {**wanted["metadata"], "resourceVersion": str(entry.modified)}}
                await client.update(kind, "", name, body)
                _log.info("%s %s was given back its default", kind.kind, name)
        except (Conflict, NotFound):
            continue  # somebody was quicker; that change comes as well
        except KnarrError as error:
            _log.error("%s %s could not be restored %s", kind.kind, name, logs.fields(error=error))
