"""Upkeep: flow schemas and priority levels of a new cluster stay as they are made, or as their owner wants them.

As upstream: what is deleted comes back; a mandatory object gets its specification back whatever was written; a
suggested one while its annotation `apf.kubernetes.io/autoupdate-spec` is true, or it has none and was never changed.
Upstream looks every minute, this at every change (../keeping.py). Not here: what the objects do to requests (gate.py).
"""

import asyncio
from typing import Any, Final

from knarr.apiserver import keeping
from knarr.apiserver.fairness import configuration
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
    rest_seconds: float = keeping.REST_SECONDS,
    retry_seconds: float = keeping.RETRY_SECONDS,
) -> None:
    """Keep the objects of both kinds until cancelled."""
    async with asyncio.TaskGroup() as group:
        for prefix, kind in PREFIXES.items():
            objects = (each for each in configuration.objects() if each["kind"] == kind.kind)
            defaults: dict[str, Json] = {each["metadata"]["name"]: each for each in objects}
            keeper = keeping.Keeper(
                store,
                client,
                prefix,
                kind,
                defaults,
                restored,
                rest_seconds=rest_seconds,
                retry_seconds=retry_seconds,
            )
            group.create_task(keeper.run(), name=f"upkeep of {prefix}")
        ready()
