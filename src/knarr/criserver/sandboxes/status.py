"""PodSandboxStatus and ListPodSandbox."""

import json

from knarr.cri.messages.enums import PodSandboxState
from knarr.cri.messages.runtime import Namespace
from knarr.cri.messages.sandbox import (
    LinuxPodSandboxStatus,
    ListPodSandboxRequest,
    ListPodSandboxResponse,
    PodSandbox,
    PodSandboxFilter,
    PodSandboxNetworkStatus,
    PodSandboxStatus,
    PodSandboxStatusRequest,
    PodSandboxStatusResponse,
)
from knarr.criserver.node import Node, now
from knarr.criserver.records import SandboxRecord


async def status(node: Node, request: PodSandboxStatusRequest) -> PodSandboxStatusResponse:
    record = node.get_sandbox(request.pod_sandbox_id)
    verbose = {}
    if request.verbose:
        pid = node.runtime.pid(record.pause) if record.pause else 0
        netns = node.places.pin(record.id, "net")
        facts = {"pid": pid, "cgroupsPath": record.cgroup_parent, "networkNamespace": str(netns)}
        verbose = {"info": json.dumps(facts)}
    return PodSandboxStatusResponse(status=of(record), info=verbose, timestamp=now())


async def list_sandboxes(node: Node, request: ListPodSandboxRequest) -> ListPodSandboxResponse:
    return ListPodSandboxResponse(items=tuple(listed(node, request.filter)))


def listed(node: Node, wanted: PodSandboxFilter | None) -> list[PodSandbox]:
    records = [record for record in node.sandboxes.all() if record.is_complete and matches(record, wanted)]
    return [
        PodSandbox(
            id=record.id,
            metadata=record.config.metadata,
            state=state(record),
            created_at=record.created_at,
            labels=record.config.labels,
            annotations=record.config.annotations,
            runtime_handler=record.runtime_handler,
        )
        for record in records
    ]


def matches(record: SandboxRecord, wanted: PodSandboxFilter | None) -> bool:
    if wanted is None:
        return True
    return (
        record.id.startswith(wanted.id)
        and (wanted.state is None or wanted.state.state is state(record))
        and wanted.label_selector.items() <= record.config.labels.items()
    )


def state(record: SandboxRecord) -> PodSandboxState:
    return PodSandboxState.SANDBOX_READY if record.is_ready else PodSandboxState.SANDBOX_NOTREADY


def of(record: SandboxRecord) -> PodSandboxStatus:
    """The status that a record tells."""
    linux = record.config.linux
    context = linux.security_context if linux else None
    return PodSandboxStatus(
        id=record.id,
        metadata=record.config.metadata,
        state=state(record),
        created_at=record.created_at,
        network=PodSandboxNetworkStatus(ip=record.address if record.is_ready else ""),
        linux=LinuxPodSandboxStatus(namespaces=Namespace(options=context.namespace_options if context else None)),
        labels=record.config.labels,
        annotations=record.config.annotations,
        runtime_handler=record.runtime_handler,
    )
