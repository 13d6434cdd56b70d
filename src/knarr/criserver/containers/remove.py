"""RemoveContainer: kill it if it runs, then remove all that was made for it. Removing the absent succeeds."""

import asyncio
import logging

from knarr.base import logs, tasks
from knarr.base.failpoints import failpoint
from knarr.base.removal import drop_tree
from knarr.cri.messages.container import RemoveContainerRequest, RemoveContainerResponse
from knarr.criserver import user_namespaces
from knarr.criserver.containers import settings, status, stop, volumes
from knarr.criserver.node import Node
from knarr.criserver.records import ContainerRecord

_log = logging.getLogger(__name__)


async def remove(node: Node, request: RemoveContainerRequest) -> RemoveContainerResponse:
    record = node.containers.find(request.container_id)
    if record is not None:
        await remove_record(node, record)
    return RemoveContainerResponse()


async def remove_record(node: Node, record: ContainerRecord) -> None:
    await stop.kill(node, record)
    async with node.locks[record.id]:
        await remove_all(node, record)
    node.locks.pop(record.id, None)
    status.publish_removed(node, record)


async def remove_all(node: Node, record: ContainerRecord) -> None:
    """Let go of everything of the container, its record last."""
    watch = node.watches.pop(record.id, None)
    if watch is not None and watch is not asyncio.current_task():
        await tasks.cancel(watch)
    await node.runtime.delete(record.id)
    directory = node.places.container(record.id)
    await volumes.remove(node, record.id)
    await node.roots.remove(record.id, directory / "root")
    await asyncio.to_thread(_remove_files, node, record)
    failpoint("criserver.container.before_forget")
    node.containers.remove(record.id)


def _remove_files(node: Node, record: ContainerRecord) -> None:
    directory = node.places.container(record.id)
    if user_namespaces.wanted(settings.namespace_options(record.config)) is not None:
        user_namespaces.release(directory)
    # What is still mounted there is somebody's volume: it stays for the next start's sweep, and so does its directory.
    drop_tree(directory)
    if directory.exists():
        _log.warning("a removed container left files %s", logs.fields(container=record.id, path=directory))
    node.cgroups.remove(record.cgroup_path)
