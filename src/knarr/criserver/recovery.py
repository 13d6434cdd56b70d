"""After a restart: take over what runs, take down what was half made, and say so of what is gone.

Runs once, before the first RPC. Truth about containers is the runtime's, about everything else the records' and the
kernel's. What has no record (a crash between two files) is swept.
"""

from msgspec.structs import replace

from knarr.base import logs
from knarr.base.errors import NotFound
from knarr.base.ids import SandboxId
from knarr.criserver.containers import remove, start
from knarr.criserver.node import Node, now
from knarr.criserver.records import ContainerRecord, Ended, SandboxRecord
from knarr.criserver.sandboxes import run, teardown
from knarr.network import namespaces

_log = logs.log("criserver")


async def recover(node: Node) -> None:
    known = set(await node.runtime.recover())
    for container in node.containers.all():
        await _recover_container(node, container)
    for sandbox in node.sandboxes.all():
        await _recover_sandbox(node, sandbox)
    owned = {record.id for record in node.containers.all()}
    owned |= {record.pause for record in node.sandboxes.all() if record.pause is not None}
    for stray in known - owned:
        await node.runtime.delete(stray)
    await _sweep(node)


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
        start.note_end(node, record.id, state)
    else:
        start.watch(node, record)
    _log.info("took over a container %s", logs.fields(container=record.id, state=state.status))


async def _recover_sandbox(node: Node, record: SandboxRecord) -> None:
    if not record.is_complete:
        await teardown.remove_all(node, record)
        return
    pins = [node.places.pin(record.id, kind) for kind in run.new_namespaces(record.config)]
    if record.is_ready and not all(namespaces.is_pinned(pin) for pin in pins):
        # A reboot: the namespaces are gone, and the kubelet makes a new sandbox.
        await teardown.release(node, record)
        node.sandboxes.put(replace(record, is_ready=False, pause=None))


async def _sweep(node: Node) -> None:
    sandboxes = {record.id for record in node.sandboxes.all()}
    for holder in node.network.holders() - sandboxes:
        await node.network.detach(SandboxId(holder))
    for pin in (node.places.run / "ns").glob("*-*"):
        if pin.name.rpartition("-")[0] not in sandboxes:
            namespaces.unpin(pin)
