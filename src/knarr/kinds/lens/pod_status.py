"""Lens: What the kubelet reports about a pod.

Typed, frozen views for readers. Field names and zero values follow the Go types: a field that Go holds
by pointer is None when absent, any other has its zero value. Only what some reader needs stands here; the
stored JSON keeps everything else. Facts: kinds/facts/types.json (a test compares).
"""

from datetime import datetime

from msgspec import Struct, field

from knarr.kinds.lens.container import ResourceRequirements


class ContainerStateRunning(Struct, frozen=True, kw_only=True, rename="camel"):
    started_at: datetime | None = None


class ContainerStateTerminated(Struct, frozen=True, kw_only=True, rename="camel"):
    container_id: str = field(default="", name="containerID")
    exit_code: int = 0
    finished_at: datetime | None = None
    message: str = ""
    reason: str = ""
    signal: int = 0
    started_at: datetime | None = None


class ContainerStateWaiting(Struct, frozen=True, kw_only=True, rename="camel"):
    message: str = ""
    reason: str = ""


class ContainerState(Struct, frozen=True, kw_only=True, rename="camel"):
    running: ContainerStateRunning | None = None
    terminated: ContainerStateTerminated | None = None
    waiting: ContainerStateWaiting | None = None


class ContainerStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    allocated_resources: dict[str, str] = field(default_factory=dict)
    container_id: str = field(default="", name="containerID")
    image: str = ""
    image_id: str = field(default="", name="imageID")
    last_state: ContainerState = ContainerState()
    name: str = ""
    ready: bool = False
    resources: ResourceRequirements | None = None
    restart_count: int = 0
    started: bool | None = None
    state: ContainerState = ContainerState()
    stop_signal: str | None = None


class HostIP(Struct, frozen=True, kw_only=True, rename="camel"):
    ip: str = ""


class PodIP(Struct, frozen=True, kw_only=True, rename="camel"):
    ip: str = ""


class PodCondition(Struct, frozen=True, kw_only=True, rename="camel"):
    last_probe_time: datetime | None = None
    last_transition_time: datetime | None = None
    message: str = ""
    observed_generation: int = 0
    reason: str = ""
    status: str = ""
    type: str = ""


class PodStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    allocated_resources: dict[str, str] = field(default_factory=dict)
    conditions: tuple[PodCondition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    ephemeral_container_statuses: tuple[ContainerStatus, ...] = ()
    host_ip: str = field(default="", name="hostIP")
    host_ips: tuple[HostIP, ...] = field(default=(), name="hostIPs")
    init_container_statuses: tuple[ContainerStatus, ...] = ()
    message: str = ""
    nominated_node_name: str = ""
    observed_generation: int = 0
    phase: str = ""
    pod_ip: str = field(default="", name="podIP")
    pod_ips: tuple[PodIP, ...] = field(default=(), name="podIPs")
    qos_class: str = ""
    reason: str = ""
    resize: str = ""
    resources: ResourceRequirements | None = None
    start_time: datetime | None = None
