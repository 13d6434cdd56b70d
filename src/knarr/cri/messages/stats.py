"""CRI v1 messages: statistics and metrics.

Plain frozen values with the specification's field names and proto3 zero values; a message field that is
not set is None. Windows messages are left out. Facts: cri/facts/cri.json (a test compares).
"""

from msgspec import Struct, field

from knarr.cri.messages.config import (
    ContainerMetadata,
    PodSandboxMetadata,
)
from knarr.cri.messages.enums import (
    MetricType,
)
from knarr.cri.messages.image import (
    FilesystemUsage,
    UInt64Value,
)


class ContainerAttributes(Struct, frozen=True, kw_only=True):
    id: str = ""
    metadata: ContainerMetadata | None = None
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


class Metric(Struct, frozen=True, kw_only=True):
    name: str = ""
    timestamp: int = 0
    metric_type: MetricType = MetricType(0)
    label_values: tuple[str, ...] = ()
    value: UInt64Value | None = None


class ContainerMetrics(Struct, frozen=True, kw_only=True):
    container_id: str = ""
    metrics: tuple[Metric, ...] = ()


class PsiData(Struct, frozen=True, kw_only=True):
    Total: int = 0
    Avg10: float = 0.0
    Avg60: float = 0.0
    Avg300: float = 0.0


class PsiStats(Struct, frozen=True, kw_only=True):
    Full: PsiData | None = None
    Some: PsiData | None = None


class CpuUsage(Struct, frozen=True, kw_only=True):
    timestamp: int = 0
    usage_core_nano_seconds: UInt64Value | None = None
    usage_nano_cores: UInt64Value | None = None
    psi: PsiStats | None = None


class IoUsage(Struct, frozen=True, kw_only=True):
    timestamp: int = 0
    psi: PsiStats | None = None


class MemoryUsage(Struct, frozen=True, kw_only=True):
    timestamp: int = 0
    working_set_bytes: UInt64Value | None = None
    available_bytes: UInt64Value | None = None
    usage_bytes: UInt64Value | None = None
    rss_bytes: UInt64Value | None = None
    page_faults: UInt64Value | None = None
    major_page_faults: UInt64Value | None = None
    psi: PsiStats | None = None


class SwapUsage(Struct, frozen=True, kw_only=True):
    timestamp: int = 0
    swap_available_bytes: UInt64Value | None = None
    swap_usage_bytes: UInt64Value | None = None


class ContainerStats(Struct, frozen=True, kw_only=True):
    attributes: ContainerAttributes | None = None
    cpu: CpuUsage | None = None
    memory: MemoryUsage | None = None
    writable_layer: FilesystemUsage | None = None
    swap: SwapUsage | None = None
    io: IoUsage | None = None


class ContainerStatsFilter(Struct, frozen=True, kw_only=True):
    id: str = ""
    pod_sandbox_id: str = ""
    label_selector: dict[str, str] = field(default_factory=dict)


class ContainerStatsRequest(Struct, frozen=True, kw_only=True):
    container_id: str = ""


class ContainerStatsResponse(Struct, frozen=True, kw_only=True):
    stats: ContainerStats | None = None


class NetworkInterfaceUsage(Struct, frozen=True, kw_only=True):
    name: str = ""
    rx_bytes: UInt64Value | None = None
    rx_errors: UInt64Value | None = None
    tx_bytes: UInt64Value | None = None
    tx_errors: UInt64Value | None = None


class NetworkUsage(Struct, frozen=True, kw_only=True):
    timestamp: int = 0
    default_interface: NetworkInterfaceUsage | None = None
    interfaces: tuple[NetworkInterfaceUsage, ...] = ()


class ProcessUsage(Struct, frozen=True, kw_only=True):
    timestamp: int = 0
    process_count: UInt64Value | None = None


class LinuxPodSandboxStats(Struct, frozen=True, kw_only=True):
    cpu: CpuUsage | None = None
    memory: MemoryUsage | None = None
    network: NetworkUsage | None = None
    process: ProcessUsage | None = None
    containers: tuple[ContainerStats, ...] = ()
    io: IoUsage | None = None


class ListContainerStatsRequest(Struct, frozen=True, kw_only=True):
    filter: ContainerStatsFilter | None = None


class ListContainerStatsResponse(Struct, frozen=True, kw_only=True):
    stats: tuple[ContainerStats, ...] = ()


class ListMetricDescriptorsRequest(Struct, frozen=True, kw_only=True):
    pass


class MetricDescriptor(Struct, frozen=True, kw_only=True):
    name: str = ""
    help: str = ""
    label_keys: tuple[str, ...] = ()


class ListMetricDescriptorsResponse(Struct, frozen=True, kw_only=True):
    descriptors: tuple[MetricDescriptor, ...] = ()


class ListPodSandboxMetricsRequest(Struct, frozen=True, kw_only=True):
    pass


class PodSandboxMetrics(Struct, frozen=True, kw_only=True):
    pod_sandbox_id: str = ""
    metrics: tuple[Metric, ...] = ()
    container_metrics: tuple[ContainerMetrics, ...] = ()


class ListPodSandboxMetricsResponse(Struct, frozen=True, kw_only=True):
    pod_metrics: tuple[PodSandboxMetrics, ...] = ()


class PodSandboxStatsFilter(Struct, frozen=True, kw_only=True):
    id: str = ""
    label_selector: dict[str, str] = field(default_factory=dict)


class ListPodSandboxStatsRequest(Struct, frozen=True, kw_only=True):
    filter: PodSandboxStatsFilter | None = None


class PodSandboxAttributes(Struct, frozen=True, kw_only=True):
    id: str = ""
    metadata: PodSandboxMetadata | None = None
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


class PodSandboxStats(Struct, frozen=True, kw_only=True):
    attributes: PodSandboxAttributes | None = None
    linux: LinuxPodSandboxStats | None = None


class ListPodSandboxStatsResponse(Struct, frozen=True, kw_only=True):
    stats: tuple[PodSandboxStats, ...] = ()


class PodSandboxStatsRequest(Struct, frozen=True, kw_only=True):
    pod_sandbox_id: str = ""


class PodSandboxStatsResponse(Struct, frozen=True, kw_only=True):
    stats: PodSandboxStats | None = None


class StreamContainerStatsRequest(Struct, frozen=True, kw_only=True):
    filter: ContainerStatsFilter | None = None


class StreamContainerStatsResponse(Struct, frozen=True, kw_only=True):
    container_stats: tuple[ContainerStats, ...] = ()


class StreamPodSandboxMetricsRequest(Struct, frozen=True, kw_only=True):
    pass


class StreamPodSandboxMetricsResponse(Struct, frozen=True, kw_only=True):
    pod_sandbox_metrics: tuple[PodSandboxMetrics, ...] = ()


class StreamPodSandboxStatsRequest(Struct, frozen=True, kw_only=True):
    filter: PodSandboxStatsFilter | None = None


class StreamPodSandboxStatsResponse(Struct, frozen=True, kw_only=True):
    pod_sandbox_stats: tuple[PodSandboxStats, ...] = ()
