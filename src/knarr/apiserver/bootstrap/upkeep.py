"""Upkeep of the `kubernetes` Service: what is deleted comes back, and its endpoints lead to this API server.

As upstream: `kubectl delete service --all` is no end to programs in pods that look for the API, a changed Service stays
changed, changed endpoints do not. Upstream looks every ten seconds, this at every change (../keeping.py).
"""

import asyncio
from typing import Any

from knarr.apiserver import keeping
from knarr.apiserver.bootstrap import objects
from knarr.apiserver.pipeline import Pipeline
from knarr.base.tasks import Ready
from knarr.client.inprocess import InProcessTransport
from knarr.client.requests import ApiClient

Json = dict[str, Any]


async def run(
    pipeline: Pipeline,
    ready: Ready,
    *,
    service_address: str,
    port: int,
    address: str = "",
    rest_seconds: float = keeping.REST_SECONDS,
) -> None:
    """Keep the Service, and its endpoints where pods reach the API at `address`, until cancelled."""
    client = ApiClient(InProcessTransport(pipeline.handle_as, objects.LOOPBACK), "kube-apiserver")
    wanted = [objects.service(service_address, port), *(objects.endpoints(address, port) if address else ())]
    async with asyncio.TaskGroup() as group:
        for default in wanted:
            metadata, resource = default["metadata"], objects.resource(pipeline, default)
            keeper = keeping.Keeper(
                pipeline.server.store,
                client,
                resource.list_prefix(metadata["namespace"]),
                resource.kind,
                {metadata["name"]: default},
                _as_it_is if default["kind"] == "Service" else restored_endpoints,
                namespace=metadata["namespace"],
                rest_seconds=rest_seconds,
            )
            group.create_task(keeper.run(), name=f"upkeep of {default['kind']} kubernetes")
        ready()


def _as_it_is(_: Json, __: Json) -> None:
    """A Service that is there may stay as it is."""


def restored_endpoints(stored: Json, default: Json) -> Json | None:
    """The stored object with all that the default says but its metadata; None where it says so already. Pure."""
    parts = {key: value for key, value in default.items() if key not in ("apiVersion", "kind", "metadata")}
    return None if all(stored.get(key) == value for key, value in parts.items()) else {**stored, **parts}
