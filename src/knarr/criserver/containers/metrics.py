"""ListMetricDescriptors and ListPodSandboxMetrics: figures under cAdvisor's names, from what stats.py reads.

One table says each metric's name, help, type and where in the statistics it is. A descriptor's labels are those that
every value carries, in their order. Not here: reading control groups (runtime/cgroups.py).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from knarr.cri.messages import stats as messages
from knarr.cri.messages.enums import MetricType
from knarr.cri.messages.image import UInt64Value
from knarr.criserver.containers import stats
from knarr.criserver.node import Node
from knarr.criserver.records import ContainerRecord, SandboxRecord

CONTAINER_LABELS: Final = ("id", "name", "image", "container", "pod", "namespace")
POD_LABELS: Final = ("id", "pod", "namespace", "interface")


@dataclass(frozen=True, slots=True)
class _OfContainer:
    name: str
    help: str
    kind: MetricType
    value: Callable[[messages.ContainerStats], UInt64Value | None]


@dataclass(frozen=True, slots=True)
class _OfPod:
    name: str
    help: str
    value: Callable[[messages.NetworkInterfaceUsage], UInt64Value | None]


_CONTAINER: Final = (
    _OfContainer(
        "container_cpu_usage_seconds_total",
        "Cumulative cpu time consumed in seconds.",
        MetricType.COUNTER,
        lambda found: _seconds(found.cpu.usage_core_nano_seconds) if found.cpu else None,
    ),
    _OfContainer(
        "container_memory_usage_bytes",
        "Current memory usage in bytes, including all memory regardless of when it was accessed.",
        MetricType.GAUGE,
        lambda found: found.memory.usage_bytes if found.memory else None,
    ),
    _OfContainer(
        "container_memory_working_set_bytes",
        "Current working set in bytes.",
        MetricType.GAUGE,
        lambda found: found.memory.working_set_bytes if found.memory else None,
    ),
    _OfContainer(
        "container_memory_rss",
        "Size of RSS in bytes.",
        MetricType.GAUGE,
        lambda found: found.memory.rss_bytes if found.memory else None,
    ),
    _OfContainer(
        "container_fs_usage_bytes",
        "Number of bytes that are consumed by the container on its writable layer.",
        MetricType.GAUGE,
        lambda found: found.writable_layer.used_bytes if found.writable_layer else None,
    ),
    _OfContainer(
        "container_fs_inodes_total",
        "Number of inodes in the container's writable layer.",
        MetricType.GAUGE,
        lambda found: found.writable_layer.inodes_used if found.writable_layer else None,
    ),
)
_POD: Final = (
    _OfPod("container_network_receive_bytes_total", "Cumulative count of bytes received.", lambda one: one.rx_bytes),
    _OfPod("container_network_receive_errors_total", "Cumulative count of receive errors.", lambda one: one.rx_errors),
    _OfPod("container_network_transmit_bytes_total", "Cumulative count of bytes sent.", lambda one: one.tx_bytes),
    _OfPod("container_network_transmit_errors_total", "Cumulative count of send errors.", lambda one: one.tx_errors),
)


def descriptors() -> messages.ListMetricDescriptorsResponse:
    """What there is, before there is any of it."""
    found = [messages.MetricDescriptor(name=m.name, help=m.help, label_keys=CONTAINER_LABELS) for m in _CONTAINER]
    found += [messages.MetricDescriptor(name=m.name, help=m.help, label_keys=POD_LABELS) for m in _POD]
    return messages.ListMetricDescriptorsResponse(descriptors=tuple(found))


async def pods(node: Node) -> messages.ListPodSandboxMetricsResponse:
    """The figures of every ready sandbox and of its running containers."""
    answer = await stats.sandboxes(node, messages.ListPodSandboxStatsRequest())
    return messages.ListPodSandboxMetricsResponse(pod_metrics=tuple(_of_pod(node, found) for found in answer.stats))


def _of_pod(node: Node, found: messages.PodSandboxStats) -> messages.PodSandboxMetrics:
    assert found.attributes is not None, "stats.py names what it measures"
    assert found.linux is not None, "and measures on Linux"
    record = node.get_sandbox(found.attributes.id)
    own = [one for one in (_of_container(node, record, each) for each in found.linux.containers) if one.metrics]
    network = found.linux.network
    at, links = (network.timestamp, network.interfaces) if network is not None else (0, ())
    return messages.PodSandboxMetrics(
        pod_sandbox_id=record.id,
        metrics=tuple(metric for link in links for metric in _of_link(record, link, at)),
        container_metrics=tuple(own),
    )


def _of_link(record: SandboxRecord, link: messages.NetworkInterfaceUsage, at: int) -> Iterator[messages.Metric]:
    name, namespace = _pod(record)
    for one in _POD:
        if (value := one.value(link)) is not None:
            labels = (record.id, name, namespace, link.name)
            yield messages.Metric(
                name=one.name, timestamp=at, metric_type=MetricType.COUNTER, label_values=labels, value=value
            )


def _of_container(node: Node, pod: SandboxRecord, found: messages.ContainerStats) -> messages.ContainerMetrics:
    assert found.attributes is not None, "stats.py names what it measures"
    record = node.get_container(found.attributes.id)
    labels = _labels(pod, record)
    metrics = []
    for one in _CONTAINER:
        if (value := one.value(found)) is not None:
            at = found.cpu.timestamp if found.cpu else 0
            metrics.append(
                messages.Metric(name=one.name, timestamp=at, metric_type=one.kind, label_values=labels, value=value)
            )
    return messages.ContainerMetrics(container_id=record.id, metrics=tuple(metrics))


def _labels(pod: SandboxRecord, record: ContainerRecord) -> tuple[str, ...]:
    metadata, image = record.config.metadata, record.config.image
    container = metadata.name if metadata else ""
    name, namespace = _pod(pod)
    return (record.cgroup_path, record.id, image.user_specified_image if image else "", container, name, namespace)


def _pod(record: SandboxRecord) -> tuple[str, str]:
    metadata = record.config.metadata
    return (metadata.name, metadata.namespace) if metadata else ("", "")


def _seconds(nanoseconds: UInt64Value | None) -> UInt64Value | None:
    """Whole seconds: the interface has no fractions."""
    return UInt64Value(value=nanoseconds.value // 1_000_000_000) if nanoseconds is not None else None
