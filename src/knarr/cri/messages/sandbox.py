"""CRI v1 messages: pod sandboxes.

Plain frozen values with the specification's field names and proto3 zero values; a message field that is
not set is None. Windows messages are left out. Facts: cri/facts/cri.json (a test compares).
"""

from msgspec import Struct, field

from knarr.cri.messages.config import (
    ContainerConfig,
    ContainerMetadata,
    ImageSpec,
    LinuxContainerResources,
    Mount,
    PodSandboxConfig,
    PodSandboxMetadata,
)
from knarr.cri.messages.enums import (
    ContainerState,
    PodSandboxState,
    Signal,
)
from knarr.cri.messages.runtime import (
    Namespace,
    PodIP,
)


class CheckpointPodRequest(Struct, frozen=True, kw_only=True):
    pod_sandbox_id: str = ""
    output_path: str = ""
    container_ids: tuple[str, ...] = ()
    options: dict[str, str] = field(default_factory=dict)


class CheckpointPodResponse(Struct, frozen=True, kw_only=True):
    pass


class ContainerResources(Struct, frozen=True, kw_only=True):
    linux: LinuxContainerResources | None = None


class LinuxContainerUser(Struct, frozen=True, kw_only=True):
    uid: int = 0
    gid: int = 0
    supplemental_groups: tuple[int, ...] = ()


class ContainerUser(Struct, frozen=True, kw_only=True):
    linux: LinuxContainerUser | None = None


class ContainerStatus(Struct, frozen=True, kw_only=True):
    id: str = ""
    metadata: ContainerMetadata | None = None
    state: ContainerState = ContainerState(0)
    created_at: int = 0
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    image: ImageSpec | None = None
    image_ref: str = ""
    reason: str = ""
    message: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    log_path: str = ""
    resources: ContainerResources | None = None
    image_id: str = ""
    user: ContainerUser | None = None
    stop_signal: Signal = Signal(0)


class LinuxPodSandboxStatus(Struct, frozen=True, kw_only=True):
    namespaces: Namespace | None = None


class PodSandboxStateValue(Struct, frozen=True, kw_only=True):
    state: PodSandboxState = PodSandboxState(0)


class PodSandboxFilter(Struct, frozen=True, kw_only=True):
    id: str = ""
    state: PodSandboxStateValue | None = None
    label_selector: dict[str, str] = field(default_factory=dict)


class ListPodSandboxRequest(Struct, frozen=True, kw_only=True):
    filter: PodSandboxFilter | None = None


class PodSandbox(Struct, frozen=True, kw_only=True):
    id: str = ""
    metadata: PodSandboxMetadata | None = None
    state: PodSandboxState = PodSandboxState(0)
    created_at: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    runtime_handler: str = ""


class ListPodSandboxResponse(Struct, frozen=True, kw_only=True):
    items: tuple[PodSandbox, ...] = ()


class PodSandboxNetworkStatus(Struct, frozen=True, kw_only=True):
    ip: str = ""
    additional_ips: tuple[PodIP, ...] = ()


class PodSandboxStatus(Struct, frozen=True, kw_only=True):
    id: str = ""
    metadata: PodSandboxMetadata | None = None
    state: PodSandboxState = PodSandboxState(0)
    created_at: int = 0
    network: PodSandboxNetworkStatus | None = None
    linux: LinuxPodSandboxStatus | None = None
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    runtime_handler: str = ""


class PodSandboxStatusRequest(Struct, frozen=True, kw_only=True):
    pod_sandbox_id: str = ""
    verbose: bool = False


class PodSandboxStatusResponse(Struct, frozen=True, kw_only=True):
    status: PodSandboxStatus | None = None
    info: dict[str, str] = field(default_factory=dict)
    containers_statuses: tuple[ContainerStatus, ...] = ()
    timestamp: int = 0


class PortForwardRequest(Struct, frozen=True, kw_only=True):
    pod_sandbox_id: str = ""
    port: tuple[int, ...] = ()


class PortForwardResponse(Struct, frozen=True, kw_only=True):
    url: str = ""


class RemovePodSandboxRequest(Struct, frozen=True, kw_only=True):
    pod_sandbox_id: str = ""


class RemovePodSandboxResponse(Struct, frozen=True, kw_only=True):
    pass


class RestorePodRequest(Struct, frozen=True, kw_only=True):
    checkpoint_path: str = ""
    config: PodSandboxConfig | None = None
    runtime_handler: str = ""
    options: dict[str, str] = field(default_factory=dict)
    container_configs: tuple[ContainerConfig, ...] = ()


class RestoredContainer(Struct, frozen=True, kw_only=True):
    name: str = ""
    container_id: str = ""


class RestorePodResponse(Struct, frozen=True, kw_only=True):
    pod_sandbox_id: str = ""
    restored_containers: tuple[RestoredContainer, ...] = ()


class RunPodSandboxRequest(Struct, frozen=True, kw_only=True):
    config: PodSandboxConfig | None = None
    runtime_handler: str = ""


class RunPodSandboxResponse(Struct, frozen=True, kw_only=True):
    pod_sandbox_id: str = ""


class StopPodSandboxRequest(Struct, frozen=True, kw_only=True):
    pod_sandbox_id: str = ""


class StopPodSandboxResponse(Struct, frozen=True, kw_only=True):
    pass


class StreamPodSandboxesRequest(Struct, frozen=True, kw_only=True):
    filter: PodSandboxFilter | None = None


class StreamPodSandboxesResponse(Struct, frozen=True, kw_only=True):
    pod_sandboxes: tuple[PodSandbox, ...] = ()


class UpdatePodSandboxResourcesRequest(Struct, frozen=True, kw_only=True):
    pod_sandbox_id: str = ""
    overhead: LinuxContainerResources | None = None
    resources: LinuxContainerResources | None = None


class UpdatePodSandboxResourcesResponse(Struct, frozen=True, kw_only=True):
    pass
