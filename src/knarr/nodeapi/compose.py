"""Put the node API together: builder, puller and pusher over one image store, served on node.sock."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from knarr.base.tasks import Ready
from knarr.builder.solve import Builder
from knarr.builder.steps.run import AttachingRuntime, Machine
from knarr.builder.sweep import sweep
from knarr.images import registries
from knarr.images.image_store import ImageStore
from knarr.images.overlay import OverlaySnapshots
from knarr.images.pull import Puller
from knarr.images.push import Pusher
from knarr.network.network import Network
from knarr.nodeapi.service import NodeService
from knarr.wire.http_client import Client
from knarr.wire.http_server import Limits, Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """`state_dir` keeps the build cache; `run_dir` (on a tmpfs) mount points and secrets of running builds;
    `registries_file` names mirrors and insecure registries, where it exists."""

    state_dir: Path
    run_dir: Path
    cgroup: str
    registry_domain: str
    registries_file: Path
    owner_uid: int = 0


def node_service(
    images: ImageStore,
    snapshots: OverlaySnapshots,
    runtime: AttachingRuntime,
    network: Network | None,
    *,
    client: Client,
    places: Places,
) -> NodeService:
    """The service of one node. What an earlier process's builds left behind is removed; recover the runtime first."""
    sweep(places.run_dir / "build", snapshots)
    machine = Machine(runtime, places.run_dir / "build", places.cgroup, network)
    builder = Builder(images, places.state_dir / "builder", machine)
    remotes = registries.read(places.registries_file)
    puller = Puller(images, client, remotes)
    pusher = Pusher(images, client, remotes, own_domain=places.registry_domain)
    service = NodeService(images, snapshots, builder, puller, pusher)
    service.owner_uid = places.owner_uid
    return service


async def serve(service: NodeService, path: Path, ready: Ready) -> None:
    """Serve on the socket until cancelled. Bodies are bounded by the service, not by the server."""
    server = Server(service.handler, limits=Limits(body_bytes=None))
    try:
        await server.listen_unix(path, owner=service.owner_uid)
        ready()
        await asyncio.get_running_loop().create_future()
    finally:
        await server.close(grace_seconds=1.0)
