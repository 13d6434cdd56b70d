"""Which CRI runtime runs the pods: our own in this process, or a foreign one behind a socket (`knarr up --cri`).

Registry, builder and node API are ours either way. Not here: how ours is put together (assembly/node.py).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from knarr.base.errors import KnarrError
from knarr.base.logs import fields, log
from knarr.cri.messages.container import ListContainersRequest, StopContainerRequest
from knarr.cri.messages.sandbox import ListPodSandboxRequest, RemovePodSandboxRequest, StopPodSandboxRequest
from knarr.cri.protocol import ImageService, RuntimeService
from knarr.wire import http

ANSWER_SECONDS: Final = 10.0
"""How long a foreign runtime may take to answer on its socket."""


@dataclass(frozen=True, slots=True)
class PodRuntime:
    """`streaming` answers the streaming URLs where that is in this process."""

    runtime: RuntimeService
    images: ImageService
    streaming: http.Handler | None = None


@contextlib.asynccontextmanager
async def foreign(socket: str) -> AsyncIterator[PodRuntime]:
    """The runtime behind a socket. Raises Unavailable when it does not answer."""
    from knarr.cri import grpc_client  # 27 MB, only for those who ask for it

    connection = grpc_client.Connection(Path(socket))
    try:
        await connection.ready(ANSWER_SECONDS)
        yield PodRuntime(connection.runtime, connection.images)
    finally:
        await connection.close()


async def end_all(runtime: RuntimeService, grace: float) -> None:
    """Stop every container with at most that many seconds of grace, then remove every sandbox."""
    containers = (await runtime.list_containers(ListContainersRequest())).containers
    await _all(
        runtime.stop_container(StopContainerRequest(container_id=c.id, timeout=round(grace))) for c in containers
    )
    sandboxes = (await runtime.list_pod_sandbox(ListPodSandboxRequest())).items
    await _all(_end_sandbox(runtime, sandbox.id) for sandbox in sandboxes)


async def _end_sandbox(runtime: RuntimeService, sandbox: str) -> None:
    await runtime.stop_pod_sandbox(StopPodSandboxRequest(pod_sandbox_id=sandbox))
    await runtime.remove_pod_sandbox(RemovePodSandboxRequest(pod_sandbox_id=sandbox))


async def _all(works: Iterable[Awaitable[object]]) -> None:
    """All at once; what fails is logged and does not keep the rest."""
    for outcome in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(outcome, KnarrError | OSError):
            log("node").warning("%s", fields(event="tear down", error=outcome))
        elif isinstance(outcome, BaseException):
            raise outcome
