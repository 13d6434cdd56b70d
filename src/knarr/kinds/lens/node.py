"""Lens: A node and its status.

Typed, frozen views for readers. Field names and zero values follow the Go types: a field that Go holds
by pointer is None when absent, any other has its zero value. Only what some reader needs stands here; the
stored JSON keeps everything else. Facts: kinds/facts/types.json (a test compares).
"""

from datetime import datetime

from msgspec import Struct, field

from knarr.kinds.lens.meta import ObjectMeta
from knarr.kinds.lens.scheduling import Taint


class NodeAddress(Struct, frozen=True, kw_only=True, rename="camel"):
    address: str = ""
    type: str = ""


class NodeCondition(Struct, frozen=True, kw_only=True, rename="camel"):
    last_heartbeat_time: datetime | None = None
    last_transition_time: datetime | None = None
    message: str = ""
    reason: str = ""
    status: str = ""
    type: str = ""


class ContainerImage(Struct, frozen=True, kw_only=True, rename="camel"):
    names: tuple[str, ...] = ()
    size_bytes: int = 0


class DaemonEndpoint(Struct, frozen=True, kw_only=True, rename="camel"):
    port: int = field(default=0, name="Port")


class NodeDaemonEndpoints(Struct, frozen=True, kw_only=True, rename="camel"):
    kubelet_endpoint: DaemonEndpoint = DaemonEndpoint()


class NodeSystemInfo(Struct, frozen=True, kw_only=True, rename="camel"):
    architecture: str = ""
    boot_id: str = field(default="", name="bootID")
    container_runtime_version: str = ""
    kernel_version: str = ""
    kube_proxy_version: str = ""
    kubelet_version: str = ""
    machine_id: str = field(default="", name="machineID")
    operating_system: str = ""
    os_image: str = ""
    running_in_user_namespace: bool = False
    system_uuid: str = field(default="", name="systemUUID")


class NodeSpec(Struct, frozen=True, kw_only=True, rename="camel"):
    external_id: str = field(default="", name="externalID")
    pod_cidr: str = field(default="", name="podCIDR")
    pod_cid_rs: tuple[str, ...] = field(default=(), name="podCIDRs")
    provider_id: str = field(default="", name="providerID")
    taints: tuple[Taint, ...] = ()
    unschedulable: bool = False


class NodeStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    addresses: tuple[NodeAddress, ...] = ()
    allocatable: dict[str, str] = field(default_factory=dict)
    capacity: dict[str, str] = field(default_factory=dict)
    conditions: tuple[NodeCondition, ...] = ()
    daemon_endpoints: NodeDaemonEndpoints = NodeDaemonEndpoints()
    declared_features: tuple[str, ...] = ()
    images: tuple[ContainerImage, ...] = ()
    node_info: NodeSystemInfo = NodeSystemInfo()
    phase: str = ""
    volumes_in_use: tuple[str, ...] = ()


class Node(Struct, frozen=True, kw_only=True, rename="camel"):
    metadata: ObjectMeta = ObjectMeta()
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()
