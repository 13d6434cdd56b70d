"""After a restart: take over what runs, take down what was half made, and say so of what is gone.

Runs once, before the first RPC. Truth about containers is the runtime's, about everything else the records' and the
kernel's. What no record explains (a record that cannot be read, a crash between two files) is swept. What refuses to
go is logged and left to the next start: the pods beside it must not wait for it.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Collection
from pathlib import Path

from msgspec.structs import replace

from knarr.base import linux, logs
from knarr.base.errors import KnarrError, NotFound
from knarr.base.ids import SandboxId
from knarr.criserver.containers import remove, start, volumes
from knarr.criserver.node import Node, now
from knarr.criserver.records import ContainerRecord, Ended, SandboxRecord
from knarr.criserver.sandboxes import loss, run, teardown
from knarr.network import namespaces

_log = logs.log("criserver")


async def recover(node: Node) -> None:
    known = set(await node.runtime.recover())
    for container in node.containers.all():
        await _tried(container.id, _recover_container(node, container))
    for sandbox in node.sandboxes.all():
        await _tried(sandbox.id, _recover_sandbox(node, sandbox))
    owned = {record.id for record in node.containers.all()}
    owned |= {record.pause for record in node.sandboxes.all() if record.pause is not None}
    for stray in known - owned:
        await _tried(stray, node.runtime.delete(stray))
    await _sweep(node)


async def _tried(identity: str, work: Awaitable[None]) -> None:
    try:
        await work
    except (KnarrError, OSError) as error:
        _log.warning("was not recovered %s", logs.fields(id=identity, error=error))


async def _recover_container(node: Node, record: ContainerRecord) -> None:
    if not record.is_complete or node.sandboxes.find(record.sandbox) is None:
        await remove.remove_all(node, record)
        return
    if record.ended is not None:
        return
    try:
        state = await node.runtime.state(record.id)
    except NotFound:
        is_startable = (node.places.container(record.id) / "config.json").exists()
        if record.started_at or not is_startable:
            ended = Ended(exit_code=start.UNKNOWN_CODE, at=now(), reason="Unknown", message="lost in a restart")
            node.containers.put(replace(record, ended=ended))
        return
    if state.status == "created":
        # The crash came between create and start: nothing has run, and the start can come again.
        await node.runtime.delete(record.id)
        return
    if not record.started_at:
        at = state.started_at
        node.containers.put(replace(record, started_at=int(at.timestamp() * 1e9) if at else now()))
    if state.status == "stopped":
        await start.note_end(node, record.id, state)
    else:
        start.watch(node, record)
    _log.info("took over a container %s", logs.fields(container=record.id, state=state.status))


async def _recover_sandbox(node: Node, record: SandboxRecord) -> None:
    if not record.is_complete:
        await teardown.remove_all(node, record)
        return
    pins = [node.places.pin(record.id, kind) for kind in run.new_namespaces(record.config)]
    if not record.is_ready:
        if record.pause is not None or any(pin.exists() for pin in pins):
            await teardown.end(node, record)  # its end was cut short
        return
    if not loss.has_process(node, record) or not all(namespaces.is_pinned(pin) for pin in pins):
        # A reboot, or the process was killed meanwhile: the namespaces are gone, and the kubelet makes a new sandbox.
        await loss.lost(node, record)
    elif record.pause is not None:
        loss.watch(node, record)


async def _sweep(node: Node) -> None:
    """Remove what has no record: addresses, namespaces, root file systems, shared files, empty groups."""
    sandboxes = {record.id for record in node.sandboxes.all()}
    containers = {record.id for record in node.containers.all()}
    for holder in node.network.holders() - sandboxes:
        await _tried(holder, node.network.detach(SandboxId(holder)))
    for pin in (node.places.run / "ns").glob("*-*"):
        if pin.name.rpartition("-")[0] not in sandboxes:
            namespaces.unpin(pin)
    await asyncio.to_thread(_sweep_directories, node.places.container("x").parent, containers)
    await asyncio.to_thread(_sweep_directories, node.places.sandbox("x").parent, sandboxes)
    for held in node.roots.held():
        if volumes.owner(held) not in containers:
            # Its mount went with the directory.
            await _tried(held, node.roots.remove(held, node.places.run / "none"))
    _sweep_groups(node)


def _sweep_directories(parent: Path, owners: Collection[str]) -> None:
    for directory in sorted(parent.iterdir()) if parent.is_dir() else ():
        if directory.name in owners:
            continue
        _log.info("swept what no record explains %s", logs.fields(path=directory))
        for point in linux.mounts_below(directory):
            linux.umount(point)
        if not linux.mounts_below(directory):  # what is mounted is not ours to empty
            shutil.rmtree(directory, ignore_errors=True)


def _sweep_groups(node: Node) -> None:
    """Pods' groups that nobody is in. Those with somebody in them may be another runtime's, under the same kubelet."""
    owned = {record.cgroup_parent for record in node.sandboxes.all()}
    for group in node.cgroups.below(node.places.cgroup):
        is_pod = group.rpartition("/")[2].startswith("pod")
        if is_pod and not any(own.startswith(group) for own in owned) and not node.cgroups.members(group):
            node.cgroups.remove(group)
