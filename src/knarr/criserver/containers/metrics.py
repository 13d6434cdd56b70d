"""ListMetricDescriptors and ListPodSandboxMetrics: the rows of metric_rows.py, filled in for what runs.

A descriptor's labels are those that every value carries, in their order. Files are read in a thread: a scrape of a
hundred pods opens thousands. Not here: what a metric means (metric_rows.py), the statistics (stats.py).
"""

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from knarr.base.errors import NotFound
from knarr.cri.messages import stats as messages
from knarr.cri.messages.enums import MetricType
from knarr.cri.messages.image import UInt64Value
from knarr.criserver.containers import metric_rows, process_figures, stats
from knarr.criserver.node import Node, now
from knarr.criserver.records import ContainerRecord, SandboxRecord
from knarr.runtime import cgroup_figures

CONTAINER_LABELS: Final = ("id", "name", "image", "container", "pod", "namespace")
POD_LABELS: Final = ("id", "pod", "namespace", "interface")
INTERFACE: Final = "eth0"


def descriptors() -> messages.ListMetricDescriptorsResponse:
    """What there is, before there is any of it."""
    own = [(row.name, row.help, CONTAINER_LABELS + row.labels) for row in metric_rows.CONTAINER]
    links = [(row.name, row.help, POD_LABELS) for row in metric_rows.LINK]
    return messages.ListMetricDescriptorsResponse(
        descriptors=tuple(
            messages.MetricDescriptor(name=name, help=told, label_keys=labels) for name, told, labels in (*own, *links)
        )
    )


async def pods(node: Node) -> messages.ListPodSandboxMetricsResponse:
    """The figures of every ready sandbox and of its running containers."""
    answer = await stats.sandboxes(node, messages.ListPodSandboxStatsRequest())
    return messages.ListPodSandboxMetricsResponse(
        pod_metrics=tuple([await _of_pod(node, found) for found in answer.stats])
    )


async def _of_pod(node: Node, found: messages.PodSandboxStats) -> messages.PodSandboxMetrics:
    assert found.attributes is not None, "stats.py names what it measures"
    assert found.linux is not None, "and measures on Linux"
    identity = found.attributes.id
    links: tuple[messages.Metric, ...] = ()
    own = []
    if (pod := node.sandboxes.find(identity)) is not None:  # else it was removed while another's were read
        links = tuple(_of_link(pod, stats.link_figures(node, pod)))
        for held in found.linux.containers:
            record = node.containers.find(held.attributes.id) if held.attributes else None
            if record is not None:
                own.append(await _of_container(node, pod, record, held))
    return messages.PodSandboxMetrics(pod_sandbox_id=identity, metrics=links, container_metrics=tuple(own))


def _of_link(pod: SandboxRecord, figures: dict[str, int]) -> Iterator[messages.Metric]:
    labels, at = (pod.id, *_pod(pod), INTERFACE), now()
    for row in metric_rows.LINK:
        if row.figure in figures:
            yield _metric(row.name, at, MetricType.COUNTER, labels, figures[row.figure])


async def _of_container(
    node: Node, pod: SandboxRecord, record: ContainerRecord, found: messages.ContainerStats
) -> messages.ContainerMetrics:
    try:
        first = node.runtime.pid(record.id)
    except NotFound:  # it ended meanwhile
        first = 0
    read = await asyncio.to_thread(_read, node, record, found, first)
    labels, at = _labels(pod, record), now()
    return messages.ContainerMetrics(
        container_id=record.id,
        metrics=tuple(
            _metric(row.name, at, row.kind, labels + own, number)
            for row in metric_rows.CONTAINER
            for own, number in row.values(read)
        ),
    )


def _read(node: Node, record: ContainerRecord, found: messages.ContainerStats, first: int) -> metric_rows.Found:
    state = str(node.places.state)
    return metric_rows.Found(
        stats=found,
        figures=figures(node, record),
        processes=process_figures.read(node.cgroups.members(record.cgroup_path), first),
        room=os.statvfs(state),
        device=state,
        started=record.started_at,
    )


def figures(node: Node, record: ContainerRecord) -> cgroup_figures.Figures:
    """The group's, with the shares that were asked for: the weight of version 2 does not tell them exactly, and newer
    low-level runtimes make another one of them."""
    found = cgroup_figures.read(node.cgroups, record.cgroup_path)
    wanted = record.config.linux.resources if record.config.linux else None
    return replace(found, cpu=replace(found.cpu, shares=wanted.cpu_shares)) if wanted and wanted.cpu_shares else found


def _metric(name: str, at: int, kind: MetricType, labels: tuple[str, ...], number: int) -> messages.Metric:
    return messages.Metric(
        name=name, timestamp=at, metric_type=kind, label_values=labels, value=UInt64Value(value=number)
    )


def _labels(pod: SandboxRecord, record: ContainerRecord) -> tuple[str, ...]:
    metadata, image = record.config.metadata, record.config.image
    container = metadata.name if metadata else ""
    return (record.cgroup_path, record.id, image.user_specified_image if image else "", container, *_pod(pod))


def _pod(record: SandboxRecord) -> tuple[str, str]:
    metadata = record.config.metadata
    return (metadata.name, metadata.namespace) if metadata else ("", "")
