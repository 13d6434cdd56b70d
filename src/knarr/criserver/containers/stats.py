"""ContainerStats and PodSandboxStats, from the kernel's control groups."""

from pathlib import Path

from knarr.cri.messages import stats as messages
from knarr.cri.messages.image import FilesystemIdentifier, FilesystemUsage, UInt64Value
from knarr.criserver.node import Node, now
from knarr.criserver.records import ContainerRecord, SandboxRecord
from knarr.runtime.cgroups import Usage

_NO_LIMIT = 1 << 60
"""cgroup v1 writes no limit as a number near 2^63."""


async def container(node: Node, request: messages.ContainerStatsRequest) -> messages.ContainerStatsResponse:
    return messages.ContainerStatsResponse(stats=_of_container(node, node.get_container(request.container_id)))


async def containers(node: Node, request: messages.ListContainerStatsRequest) -> messages.ListContainerStatsResponse:
    wanted = request.filter or messages.ContainerStatsFilter()
    found = [
        _of_container(node, record)
        for record in node.containers.all()
        if _runs(record)
        and record.id.startswith(wanted.id)
        and record.sandbox.startswith(wanted.pod_sandbox_id)
        and wanted.label_selector.items() <= record.config.labels.items()
    ]
    return messages.ListContainerStatsResponse(stats=tuple(found))


async def sandbox(node: Node, request: messages.PodSandboxStatsRequest) -> messages.PodSandboxStatsResponse:
    return messages.PodSandboxStatsResponse(stats=_of_sandbox(node, node.get_sandbox(request.pod_sandbox_id)))


async def sandboxes(node: Node, request: messages.ListPodSandboxStatsRequest) -> messages.ListPodSandboxStatsResponse:
    wanted = request.filter or messages.PodSandboxStatsFilter()
    found = [
        _of_sandbox(node, record)
        for record in node.sandboxes.all()
        if record.is_ready
        and record.id.startswith(wanted.id)
        and wanted.label_selector.items() <= record.config.labels.items()
    ]
    return messages.ListPodSandboxStatsResponse(stats=tuple(found))


def _runs(record: ContainerRecord) -> bool:
    return bool(record.started_at) and record.ended is None


def _of_container(node: Node, record: ContainerRecord) -> messages.ContainerStats:
    at = now()
    usage = node.cgroups.usage(record.cgroup_path) if _runs(record) else None
    size, inodes = node.roots.usage(record.id)
    return messages.ContainerStats(
        attributes=messages.ContainerAttributes(
            id=record.id,
            metadata=record.config.metadata,
            labels=record.config.labels,
            annotations=record.config.annotations,
        ),
        cpu=_cpu(usage, at) if usage else None,
        memory=_memory(usage, at) if usage else None,
        writable_layer=FilesystemUsage(
            timestamp=at,
            fs_id=FilesystemIdentifier(mountpoint=str(node.places.state)),
            used_bytes=UInt64Value(value=size),
            inodes_used=UInt64Value(value=inodes),
        ),
    )


def _of_sandbox(node: Node, record: SandboxRecord) -> messages.PodSandboxStats:
    at = now()
    usage = node.cgroups.usage(record.cgroup_parent)
    held = [_of_container(node, other) for other in node.containers_of(record.id) if _runs(other)]
    return messages.PodSandboxStats(
        attributes=messages.PodSandboxAttributes(
            id=record.id,
            metadata=record.config.metadata,
            labels=record.config.labels,
            annotations=record.config.annotations,
        ),
        linux=messages.LinuxPodSandboxStats(
            cpu=_cpu(usage, at) if usage else None,
            memory=_memory(usage, at) if usage else None,
            network=_network(node, record, at),
            process=messages.ProcessUsage(
                timestamp=at, process_count=UInt64Value(value=len(node.cgroups.members(record.cgroup_parent)))
            ),
            containers=tuple(held),
        ),
    )


def _cpu(usage: Usage, at: int) -> messages.CpuUsage:
    return messages.CpuUsage(timestamp=at, usage_core_nano_seconds=UInt64Value(value=usage.cpu_nanoseconds))


def _memory(usage: Usage, at: int) -> messages.MemoryUsage:
    limit = usage.memory_limit if 0 < usage.memory_limit < _NO_LIMIT else 0
    return messages.MemoryUsage(
        timestamp=at,
        working_set_bytes=UInt64Value(value=usage.memory_working_set),
        available_bytes=UInt64Value(value=max(0, limit - usage.memory_working_set)) if limit else None,
        usage_bytes=UInt64Value(value=usage.memory_usage),
        rss_bytes=UInt64Value(value=usage.memory_rss),
        page_faults=UInt64Value(value=usage.page_faults),
        major_page_faults=UInt64Value(value=usage.major_page_faults),
    )


def link_figures(node: Node, record: SandboxRecord) -> dict[str, int]:
    """The kernel's counters of a pod's link, by their names; none for a pod without one of its own.

    They are the mirror of the host's side: what the pod sends, the host receives.
    """
    link = node.network.link(record.id)
    return {} if link is None else counters(Path("/sys/class/net") / link / "statistics")


def counters(directory: Path) -> dict[str, int]:
    """Of a link's directory; none of a link that is gone, or that goes while it is read."""
    ways = {"rx": "tx", "tx": "rx"}
    kinds = ("bytes", "errors", "packets", "dropped")
    names = {f"{pod}_{kind}": f"{host}_{kind}" for pod, host in ways.items() for kind in kinds}
    try:
        return {name: int((directory / file).read_text()) for name, file in names.items()}
    except OSError:
        return {}


def _network(node: Node, record: SandboxRecord, at: int) -> messages.NetworkUsage | None:
    read = link_figures(node, record)
    if not read:
        return None
    usage = messages.NetworkInterfaceUsage(
        name="eth0",
        rx_bytes=UInt64Value(value=read["rx_bytes"]),
        rx_errors=UInt64Value(value=read["rx_errors"]),
        tx_bytes=UInt64Value(value=read["tx_bytes"]),
        tx_errors=UInt64Value(value=read["tx_errors"]),
    )
    return messages.NetworkUsage(timestamp=at, default_interface=usage, interfaces=(usage,))
