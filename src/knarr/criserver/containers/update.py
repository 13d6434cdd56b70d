"""UpdateContainerResources and ReopenContainerLog: changes to a container that runs."""

import contextlib
from pathlib import Path

from msgspec.structs import asdict, replace

from knarr.base.errors import Invalid
from knarr.cri.messages.config import LinuxContainerConfig, LinuxContainerResources
from knarr.cri.messages.container import (
    ReopenContainerLogRequest,
    ReopenContainerLogResponse,
    UpdateContainerResourcesRequest,
    UpdateContainerResourcesResponse,
)
from knarr.criserver import resources
from knarr.criserver.node import Node
from knarr.runtime import host


async def update(node: Node, request: UpdateContainerResourcesRequest) -> UpdateContainerResourcesResponse:
    record = node.get_container(request.container_id)
    wanted = request.linux
    if wanted is not None:
        if record.started_at and record.ended is None:
            try:
                node.cgroups.limit(record.cgroup_path, resources.limits(wanted))
            except OSError as error:
                raise Invalid(f"container {record.id}: {error.filename}: {error.strerror}") from error
            score = host.oom_score(wanted.oom_score_adj, host.read())
            with contextlib.suppress(OSError):
                Path(f"/proc/{node.runtime.pid(record.id)}/oom_score_adj").write_text(str(score))
        linux = record.config.linux or LinuxContainerConfig()
        merged = replace(linux, resources=merge(linux.resources or LinuxContainerResources(), wanted))
        annotations = {**record.config.annotations, **request.annotations}
        node.containers.put(replace(record, config=replace(record.config, linux=merged, annotations=annotations)))
    return UpdateContainerResourcesResponse()


def merge(old: LinuxContainerResources, new: LinuxContainerResources) -> LinuxContainerResources:
    """The old resources with what the new ones set."""
    return replace(old, **{name: value for name, value in asdict(new).items() if value})


async def reopen_log(node: Node, request: ReopenContainerLogRequest) -> ReopenContainerLogResponse:
    record = node.get_container(request.container_id)
    if not record.started_at or record.ended is not None:
        raise Invalid("container is not running")
    await node.runtime.reopen_log(record.id)
    return ReopenContainerLogResponse()
