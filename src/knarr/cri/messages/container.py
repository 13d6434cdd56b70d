"""CRI v1 messages: containers, exec and events.

Plain frozen values with the specification's field names and proto3 zero values; a message field that is
not set is None. Windows messages are left out. Facts: cri/facts/cri.json (a test compares).
"""

from msgspec import Struct, field

from knarr.cri.messages.config import (
    ContainerConfig,
    ContainerMetadata,
    ImageSpec,
    LinuxContainerResources,
    PodSandboxConfig,
)
from knarr.cri.messages.enums import (
    ContainerEventType,
    ContainerState,
)
from knarr.cri.messages.sandbox import (
    ContainerStatus,
    PodSandboxStatus,
)


class AttachRequest(Struct, frozen=True, kw_only=True):
    container_id: str = ""
    stdin: bool = False
    tty: bool = False
    stdout: bool = False
    stderr: bool = False


class AttachResponse(Struct, frozen=True, kw_only=True):
    url: str = ""


class CheckpointContainerRequest(Struct, frozen=True, kw_only=True):
    container_id: str = ""
    location: str = ""
    timeout: int = 0


class CheckpointContainerResponse(Struct, frozen=True, kw_only=True):
    pass


class Container(Struct, frozen=True, kw_only=True):
    id: str = ""
    pod_sandbox_id: str = ""
    metadata: ContainerMetadata | None = None
    image: ImageSpec | None = None
    image_ref: str = ""
    state: ContainerState = ContainerState(0)
    created_at: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    image_id: str = ""


class ContainerEventResponse(Struct, frozen=True, kw_only=True):
    container_id: str = ""
    container_event_type: ContainerEventType = ContainerEventType(0)
    created_at: int = 0
    pod_sandbox_status: PodSandboxStatus | None = None
    containers_statuses: tuple[ContainerStatus, ...] = ()


class ContainerStateValue(Struct, frozen=True, kw_only=True):
    state: ContainerState = ContainerState(0)


class ContainerFilter(Struct, frozen=True, kw_only=True):
    id: str = ""
    state: ContainerStateValue | None = None
    pod_sandbox_id: str = ""
    label_selector: dict[str, str] = field(default_factory=dict)


class ContainerStatusRequest(Struct, frozen=True, kw_only=True):
    container_id: str = ""
    verbose: bool = False


class ContainerStatusResponse(Struct, frozen=True, kw_only=True):
    status: ContainerStatus | None = None
    info: dict[str, str] = field(default_factory=dict)


class CreateContainerRequest(Struct, frozen=True, kw_only=True):
    pod_sandbox_id: str = ""
    config: ContainerConfig | None = None
    sandbox_config: PodSandboxConfig | None = None


class CreateContainerResponse(Struct, frozen=True, kw_only=True):
    container_id: str = ""


class ExecRequest(Struct, frozen=True, kw_only=True):
    container_id: str = ""
    cmd: tuple[str, ...] = ()
    tty: bool = False
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False


class ExecResponse(Struct, frozen=True, kw_only=True):
    url: str = ""


class ExecSyncRequest(Struct, frozen=True, kw_only=True):
    container_id: str = ""
    cmd: tuple[str, ...] = ()
    timeout: int = 0


class ExecSyncResponse(Struct, frozen=True, kw_only=True):
    stdout: bytes = b""
    stderr: bytes = b""
    exit_code: int = 0


class GetEventsRequest(Struct, frozen=True, kw_only=True):
    pass


class ListContainersRequest(Struct, frozen=True, kw_only=True):
    filter: ContainerFilter | None = None


class ListContainersResponse(Struct, frozen=True, kw_only=True):
    containers: tuple[Container, ...] = ()


class RemoveContainerRequest(Struct, frozen=True, kw_only=True):
    container_id: str = ""


class RemoveContainerResponse(Struct, frozen=True, kw_only=True):
    pass


class ReopenContainerLogRequest(Struct, frozen=True, kw_only=True):
    container_id: str = ""


class ReopenContainerLogResponse(Struct, frozen=True, kw_only=True):
    pass


class StartContainerRequest(Struct, frozen=True, kw_only=True):
    container_id: str = ""


class StartContainerResponse(Struct, frozen=True, kw_only=True):
    pass


class StopContainerRequest(Struct, frozen=True, kw_only=True):
    container_id: str = ""
    timeout: int = 0


class StopContainerResponse(Struct, frozen=True, kw_only=True):
    pass


class StreamContainersRequest(Struct, frozen=True, kw_only=True):
    filter: ContainerFilter | None = None


class StreamContainersResponse(Struct, frozen=True, kw_only=True):
    containers: tuple[Container, ...] = ()


class UpdateContainerResourcesRequest(Struct, frozen=True, kw_only=True):
    container_id: str = ""
    linux: LinuxContainerResources | None = None
    annotations: dict[str, str] = field(default_factory=dict)


class UpdateContainerResourcesResponse(Struct, frozen=True, kw_only=True):
    pass
