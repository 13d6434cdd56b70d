"""StartContainer: make the container from the settings that CreateContainer left, start it, watch for its end."""

import asyncio
from pathlib import Path

import msgspec
from msgspec.structs import replace

from knarr.base.errors import Invalid, KnarrError
from knarr.base.failpoints import failpoint
from knarr.cri.messages.container import StartContainerRequest, StartContainerResponse
from knarr.cri.messages.enums import ContainerEventType, NamespaceMode
from knarr.criserver import user_namespaces
from knarr.criserver.containers import guard, settings, status
from knarr.criserver.node import Node, now
from knarr.criserver.records import ContainerRecord, Ended
from knarr.criserver.sandboxes import loss
from knarr.runtime.runtime import ContainerSpec, ContainerState

START_ERROR_CODE = 128
UNKNOWN_CODE = 255


async def start(node: Node, request: StartContainerRequest) -> StartContainerResponse:
    record = node.get_container(request.container_id)
    async with node.locks[record.id]:
        record = node.get_container(record.id)
        if record.started_at or record.ended:
            raise Invalid(f"container {record.id} is in {status.state(record).name} state")
        _refuse_without_sandbox(node, record)
        try:
            await _create(node, _spec(node, record))
            failpoint("criserver.container.before_start")
            started_at = now()
            await node.runtime.start(record.id)
        except (KnarrError, OSError) as error:
            await node.runtime.delete(record.id)
            # The sandbox ended meanwhile: nothing ran, and that is not the container's failure.
            _refuse_without_sandbox(node, record)
            ended = Ended(exit_code=START_ERROR_CODE, at=now(), reason="StartError", message=str(error))
            node.containers.put(replace(record, ended=ended))
            raise
        node.containers.put(replace(record, started_at=started_at))
    status.publish(node, record.id, ContainerEventType.CONTAINER_STARTED_EVENT)
    watch(node, record)
    return StartContainerResponse()


async def _create(node: Node, spec: ContainerSpec) -> None:
    await node.runtime.create(spec)
    mountinfo = Path(f"/proc/{node.runtime.pid(spec.id)}/mountinfo").read_text(errors="surrogateescape")
    guard.check_mounted(mountinfo, [mount["destination"] for mount in spec.oci["mounts"] if mount["type"] == "bind"])


def _refuse_without_sandbox(node: Node, record: ContainerRecord) -> None:
    """Raises Invalid when the sandbox is no more; the container stays created."""
    if not loss.is_ready(node, record.sandbox):
        raise Invalid(f"sandbox {record.sandbox} of container {record.id} is not ready")


def watch(node: Node, record: ContainerRecord) -> None:
    """Note the container's end when it comes."""
    task = asyncio.create_task(_note_end(node, record.id), name=f"container {record.id[:12]}")
    node.watches[record.id] = task


async def _note_end(node: Node, identity: str) -> None:
    record = node.containers.find(identity)
    assert record is not None
    ended = await node.runtime.wait(record.id)
    await note_end(node, record.id, ended)


async def note_end(node: Node, identity: str, ended: ContainerState) -> None:
    record = node.containers.find(identity)
    if record is None or record.ended is not None:
        return
    node.watches.pop(identity, None)
    assert ended.exit_code is not None
    assert ended.finished_at is not None
    reason = "OOMKilled" if ended.was_oom_killed else "Completed" if ended.exit_code == 0 else "Error"
    # A file's time is some milliseconds coarse.
    at = max(record.started_at, int(ended.finished_at.timestamp() * 1e9))
    node.containers.put(replace(record, ended=Ended(exit_code=ended.exit_code, at=at, reason=reason)))
    if settings.namespace_options(record.config).pid is not NamespaceMode.CONTAINER:
        # Without a process namespace of its own, the kernel does not end its other processes.
        node.cgroups.kill(record.cgroup_path)
    status.publish(node, identity, ContainerEventType.CONTAINER_STOPPED_EVENT)
    if user_namespaces.wanted(settings.namespace_options(record.config)) is not None:
        # A dead container may lie about for long, and its volumes' memory and devices are not to wait for that.
        await asyncio.to_thread(user_namespaces.release_volumes, node.places.container(identity))


def _spec(node: Node, record: ContainerRecord) -> ContainerSpec:
    config = record.config
    if record.log_path:
        Path(record.log_path).parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    return ContainerSpec(
        id=record.id,
        oci=msgspec.json.decode((node.places.container(record.id) / "config.json").read_bytes()),
        log_path=Path(record.log_path or "/dev/null"),
        cgroup_path=record.cgroup_path,
        has_terminal=config.tty,
        keeps_stdin=config.stdin,
        closes_stdin_once=config.stdin_once,
    )
