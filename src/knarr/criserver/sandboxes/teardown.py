"""StopPodSandbox and RemovePodSandbox: everything that run.py made goes, in the reverse order. All of it idempotent."""

import asyncio

from msgspec.structs import replace

from knarr.base import linux, tasks
from knarr.base.failpoints import failpoint
from knarr.base.removal import drop_tree
from knarr.cri.messages.enums import ContainerEventType
from knarr.cri.messages.sandbox import (
    RemovePodSandboxRequest,
    RemovePodSandboxResponse,
    StopPodSandboxRequest,
    StopPodSandboxResponse,
    UpdatePodSandboxResourcesRequest,
    UpdatePodSandboxResourcesResponse,
)
from knarr.criserver import resources
from knarr.criserver.containers import remove, status, stop
from knarr.criserver.node import Node
from knarr.criserver.records import SandboxRecord
from knarr.criserver.sandboxes import pause
from knarr.network import namespaces


async def stop_sandbox(node: Node, request: StopPodSandboxRequest) -> StopPodSandboxResponse:
    record = node.sandboxes.find(request.pod_sandbox_id)
    if record is not None:
        await _kill_all(node, record)
        async with node.locks[record.id]:
            record = node.sandboxes.find(record.id)
            if record is not None:
                await _stop(node, record)
    return StopPodSandboxResponse()


async def _stop(node: Node, record: SandboxRecord) -> None:
    if not record.is_ready:
        await end(node, record)
        return
    record = node.sandboxes.put(replace(record, is_ready=False))
    await _kill_all(node, record)  # who was started after its kill; from here on nobody is
    await end(node, record)
    status.publish_sandbox(node, record, ContainerEventType.CONTAINER_STOPPED_EVENT)


async def _kill_all(node: Node, record: SandboxRecord) -> None:
    for container in node.containers_of(record.id):
        await stop.kill(node, container)


async def remove_sandbox(node: Node, request: RemovePodSandboxRequest) -> RemovePodSandboxResponse:
    record = node.sandboxes.find(request.pod_sandbox_id)
    if record is not None:
        await stop_sandbox(node, StopPodSandboxRequest(pod_sandbox_id=record.id))
        for container in node.containers_of(record.id):
            await remove.remove_record(node, container)
        async with node.locks[record.id]:
            await remove_all(node, record)
        node.locks.pop(record.id, None)
        gone = replace(record, is_ready=False)
        status.publish_sandbox(node, gone, ContainerEventType.CONTAINER_DELETED_EVENT)
    return RemovePodSandboxResponse()


async def remove_all(node: Node, record: SandboxRecord) -> None:
    """Let go of everything of a sandbox without containers, its record last."""
    await release(node, record)
    await asyncio.to_thread(_remove_files, node, record)
    failpoint("criserver.sandbox.before_forget")
    node.sandboxes.remove(record.id)


async def end(node: Node, record: SandboxRecord) -> None:
    """Not ready from now on, and everything that it needed for that let go."""
    node.sandboxes.put(replace(record, is_ready=False))
    await release(node, record)
    node.sandboxes.put(replace(record, is_ready=False, pause=None))


async def release(node: Node, record: SandboxRecord) -> None:
    """Let go of its process, its address and its namespaces."""
    # Not by record.pause: a start that failed half way has made it and told nobody.
    process = pause.identity(record.id)
    watch = node.watches.pop(process, None)
    if watch is not None and watch is not asyncio.current_task():
        await tasks.cancel(watch)
    await node.runtime.delete(process)
    await node.network.detach(record.id)
    await asyncio.to_thread(_unpin, node, record)


def _unpin(node: Node, record: SandboxRecord) -> None:
    for kind in ("net", "ipc", "uts", "user"):
        namespaces.unpin(node.places.pin(record.id, kind))


def _remove_files(node: Node, record: SandboxRecord) -> None:
    directory = node.places.sandbox(record.id)
    for place in ("shm", "pause"):
        linux.umount(directory / place)
    drop_tree(directory)
    node.cgroups.kill(record.cgroup_parent)
    node.cgroups.remove(record.cgroup_parent)


async def update_resources(node: Node, request: UpdatePodSandboxResourcesRequest) -> UpdatePodSandboxResourcesResponse:
    """UpdatePodSandboxResources: new limits for the pod's cgroup."""
    record = node.get_sandbox(request.pod_sandbox_id)
    if request.resources is not None:
        node.cgroups.limit(record.cgroup_parent, resources.limits(request.resources))
    return UpdatePodSandboxResourcesResponse()
