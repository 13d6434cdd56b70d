"""Lens: Service, Endpoints, EndpointSlice.

Typed, frozen views for readers. Field names and zero values follow the Go types: a field that Go holds
by pointer is None when absent, any other has its zero value. Only what some reader needs stands here; the
stored JSON keeps everything else. Facts: kinds/facts/types.json (a test compares).
"""

from msgspec import Struct, field

from knarr.kinds.lens.meta import Condition, ObjectMeta
from knarr.kinds.lens.references import ObjectReference


class ServicePort(Struct, frozen=True, kw_only=True, rename="camel"):
    app_protocol: str | None = None
    name: str = ""
    node_port: int = 0
    port: int = 0
    protocol: str = ""
    target_port: int | str = 0


class ClientIPConfig(Struct, frozen=True, kw_only=True, rename="camel"):
    timeout_seconds: int | None = None


class SessionAffinityConfig(Struct, frozen=True, kw_only=True, rename="camel"):
    client_ip: ClientIPConfig | None = field(default=None, name="clientIP")


class PortStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    error: str | None = None
    port: int = 0
    protocol: str = ""


class LoadBalancerIngress(Struct, frozen=True, kw_only=True, rename="camel"):
    hostname: str = ""
    ip: str = ""
    ip_mode: str | None = None
    ports: tuple[PortStatus, ...] = ()


class LoadBalancerStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    ingress: tuple[LoadBalancerIngress, ...] = ()


class ServiceSpec(Struct, frozen=True, kw_only=True, rename="camel"):
    allocate_load_balancer_node_ports: bool | None = None
    cluster_ip: str = field(default="", name="clusterIP")
    cluster_ips: tuple[str, ...] = field(default=(), name="clusterIPs")
    external_ips: tuple[str, ...] = field(default=(), name="externalIPs")
    external_name: str = ""
    external_traffic_policy: str = ""
    health_check_node_port: int = 0
    internal_traffic_policy: str | None = None
    ip_families: tuple[str, ...] = ()
    ip_family_policy: str | None = None
    load_balancer_class: str | None = None
    load_balancer_ip: str = field(default="", name="loadBalancerIP")
    load_balancer_source_ranges: tuple[str, ...] = ()
    ports: tuple[ServicePort, ...] = ()
    publish_not_ready_addresses: bool = False
    selector: dict[str, str] = field(default_factory=dict)
    session_affinity: str = ""
    session_affinity_config: SessionAffinityConfig | None = None
    traffic_distribution: str | None = None
    type: str = ""


class ServiceStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    conditions: tuple[Condition, ...] = ()
    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class Service(Struct, frozen=True, kw_only=True, rename="camel"):
    metadata: ObjectMeta = ObjectMeta()
    spec: ServiceSpec = ServiceSpec()
    status: ServiceStatus = ServiceStatus()


class EndpointConditions(Struct, frozen=True, kw_only=True, rename="camel"):
    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class Endpoint(Struct, frozen=True, kw_only=True, rename="camel"):
    addresses: tuple[str, ...] = ()
    conditions: EndpointConditions = EndpointConditions()
    deprecated_topology: dict[str, str] = field(default_factory=dict)
    hostname: str | None = None
    node_name: str | None = None
    target_ref: ObjectReference | None = None
    zone: str | None = None


class EndpointPort(Struct, frozen=True, kw_only=True, rename="camel"):
    app_protocol: str | None = None
    name: str | None = None
    port: int | None = None
    protocol: str | None = None


class EndpointSlice(Struct, frozen=True, kw_only=True, rename="camel"):
    address_type: str = ""
    endpoints: tuple[Endpoint, ...] = ()
    metadata: ObjectMeta = ObjectMeta()
    ports: tuple[EndpointPort, ...] = ()
