"""`knarr registry serve`: registry, builder and image store without a cluster, in one process that stays in front.

Without root it serves the registry alone. Builds run in containers as on a node, but without the pod network. A cluster
of the same name cannot run meanwhile: both would own the image store, so this takes the node's lock.
"""

import asyncio
import contextlib
import os
import signal

from knarr.assembly import node, supervise
from knarr.assembly.settings import Settings
from knarr.base import logs, tasks
from knarr.base.errors import KnarrError
from knarr.base.tasks import Ready
from knarr.criserver import compose
from knarr.nodeapi import compose as nodeapi
from knarr.registry.options import Options
from knarr.runtime.cgroups import Cgroups
from knarr.wire import http_client


def main(settings: Settings, told: Options, *, builds: bool) -> int:
    """Serve until SIGTERM or SIGINT; the exit code. Without `builds`, which need root, the registry alone.

    Raises AlreadyExists while the cluster's node runs."""
    logs.configure()
    lock = supervise.hold_lock(settings, "node")
    try:
        asyncio.run(_run(settings, told, builds=builds))
    except ExceptionGroup as group:
        failed = group.subgroup(KnarrError)
        if failed is None:
            raise
        raise _first(failed) from group  # a port that is taken, a file that cannot be read: the caller's to say
    finally:
        os.close(lock)
    return 0


def _first(group: ExceptionGroup[KnarrError]) -> KnarrError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, ExceptionGroup) else error


async def _run(settings: Settings, told: Options, *, builds: bool) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    images = node.open_images(settings)

    async def serve_registry(ready: Ready) -> None:
        await node.serve_registry(settings, images, ready, told)

    async def serve_api(ready: Ready) -> None:
        await _serve_api(settings, images, ready)

    async with asyncio.TaskGroup() as group:
        servers = [await tasks.start(group, "registry", serve_registry)]
        if builds:
            servers.append(await tasks.start(group, "node api", serve_api))
        logs.log("registry").info("%s", logs.fields(registry=node.registry_domain(settings), event="ready"))
        await stopped.wait()
        for server in servers:
            with contextlib.suppress(asyncio.CancelledError):
                await tasks.cancel(server)


async def _serve_api(settings: Settings, images: node.Images, ready: Ready) -> None:
    runtime = compose.oci_runtime(settings.run_dir, settings.cgroup)
    client = http_client.Client()
    places = nodeapi.Places(
        state_dir=settings.data_dir,
        run_dir=settings.run_dir,
        cgroup=settings.cgroup,
        registry_domain=node.registry_domain(settings),
        registries_file=settings.registries_file,
        owner_uid=settings.owner_uid,
    )
    for left_over in await runtime.recover():
        await runtime.delete(left_over)
    try:
        service = nodeapi.node_service(images.store, images.snapshots, runtime, None, client=client, places=places)
        await nodeapi.serve(service, settings.node_socket, ready)
    finally:
        await client.close()
        runtime.close()
        cgroups = Cgroups()
        for group in (f"{settings.cgroup}/monitors", settings.cgroup):
            cgroups.remove(group)
