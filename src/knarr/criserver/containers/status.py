"""ContainerStatus, ListContainers, and the events that carry them."""

import json
import signal

from knarr.cri.messages.config import ContainerMetadata, ImageSpec
from knarr.cri.messages.container import (
    Container,
    ContainerEventResponse,
    ContainerFilter,
    ContainerStatusRequest,
    ContainerStatusResponse,
    ListContainersRequest,
    ListContainersResponse,
)
from knarr.cri.messages.enums import ContainerEventType, ContainerState, Signal
from knarr.cri.messages.sandbox import (
    ContainerResources,
    ContainerStatus,
    ContainerUser,
    LinuxContainerUser,
)
from knarr.criserver.node import Node, now
from knarr.criserver.records import ContainerRecord, SandboxRecord
from knarr.criserver.sandboxes import status as sandbox_status


async def status(node: Node, request: ContainerStatusRequest) -> ContainerStatusResponse:
    record = node.get_container(request.container_id)
    verbose = {"info": json.dumps(_verbose(node, record))} if request.verbose else {}
    return ContainerStatusResponse(status=of(record), info=verbose)


async def list_containers(node: Node, request: ListContainersRequest) -> ListContainersResponse:
    return ListContainersResponse(containers=tuple(listed(node, request.filter)))


def listed(node: Node, wanted: ContainerFilter | None) -> list[Container]:
    records = [record for record in node.containers.all() if record.is_complete and matches(record, wanted)]
    return [
        Container(
            id=record.id,
            pod_sandbox_id=record.sandbox,
            metadata=record.config.metadata,
            image=record.config.image,
            image_ref=record.image_ref,
            image_id=record.image_ref,
            state=state(record),
            created_at=record.created_at,
            labels=record.config.labels,
            annotations=record.config.annotations,
        )
        for record in records
    ]


def matches(record: ContainerRecord, wanted: ContainerFilter | None) -> bool:
    if wanted is None:
        return True
    return (
        record.id.startswith(wanted.id)
        and record.sandbox.startswith(wanted.pod_sandbox_id)
        and (wanted.state is None or wanted.state.state is state(record))
        and wanted.label_selector.items() <= record.config.labels.items()
    )


def state(record: ContainerRecord) -> ContainerState:
    if record.ended is not None:
        return ContainerState.CONTAINER_EXITED
    return ContainerState.CONTAINER_RUNNING if record.started_at else ContainerState.CONTAINER_CREATED


def of(record: ContainerRecord) -> ContainerStatus:
    """The status that a record tells."""
    config, ended = record.config, record.ended
    limits = config.linux.resources if config.linux else None
    return ContainerStatus(
        id=record.id,
        metadata=config.metadata or ContainerMetadata(),
        state=state(record),
        created_at=record.created_at,
        started_at=record.started_at,
        finished_at=ended.at if ended else 0,
        exit_code=ended.exit_code if ended else 0,
        image=ImageSpec(
            image=(config.image.user_specified_image or config.image.image) if config.image else "",
        ),
        image_ref=record.image_ref,
        image_id=record.image_ref,
        reason=ended.reason if ended else "",
        message=ended.message if ended else "",
        labels=config.labels,
        annotations=config.annotations,
        mounts=config.mounts,
        log_path=record.log_path,
        resources=ContainerResources(linux=limits) if limits else None,
        user=ContainerUser(linux=LinuxContainerUser(uid=record.uid, gid=record.gid, supplemental_groups=record.groups)),
        stop_signal=_signal(record.stop_signal),
    )


def publish(node: Node, identity: str, kind: ContainerEventType) -> None:
    """Tell the subscribers what happened to a container, with all that is in its sandbox now."""
    if not node.events.has_subscribers:
        return
    record = node.containers.find(identity)
    _tell(node, identity, kind, node.sandboxes.find(record.sandbox) if record else None)


def publish_removed(node: Node, record: ContainerRecord) -> None:
    """Tell the subscribers of a container that is gone, with its sandbox."""
    if node.events.has_subscribers:
        _tell(node, record.id, ContainerEventType.CONTAINER_DELETED_EVENT, node.sandboxes.find(record.sandbox))


def publish_sandbox(node: Node, record: SandboxRecord, kind: ContainerEventType) -> None:
    """Tell the subscribers what happened to a sandbox, as other runtimes do under its id; also one that is gone."""
    if node.events.has_subscribers:
        _tell(node, record.id, kind, record)


def _tell(node: Node, identity: str, kind: ContainerEventType, sandbox: SandboxRecord | None) -> None:
    node.events.publish(
        ContainerEventResponse(
            container_id=identity,
            container_event_type=kind,
            created_at=now(),
            pod_sandbox_status=sandbox_status.of(sandbox) if sandbox else None,
            containers_statuses=tuple(of(other) for other in node.containers_of(sandbox.id)) if sandbox else (),
        )
    )


def _signal(number: int) -> Signal:
    try:
        return Signal[f"SIGNAL_{signal.Signals(number).name}"]
    except (ValueError, KeyError):
        return Signal.SIGNAL_RUNTIME_DEFAULT


def _verbose(node: Node, record: ContainerRecord) -> dict[str, object]:
    running = record.started_at and record.ended is None
    return {
        "sandboxID": record.sandbox,
        "pid": node.runtime.pid(record.id) if running else 0,
        "removing": False,
        "snapshotter": "overlayfs",
        "runtimeType": "knarr.oci",
        "cgroupsPath": record.cgroup_path,
    }
