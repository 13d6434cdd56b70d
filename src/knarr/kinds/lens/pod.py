"""Lens: A pod.

Typed, frozen views for readers. Field names and zero values follow the Go types: a field that Go holds
by pointer is None when absent, any other has its zero value. Only what some reader needs stands here; the
stored JSON keeps everything else. Facts: kinds/facts/types.json (a test compares).
"""

from msgspec import Struct, field

from knarr.kinds.lens.container import Container, EphemeralContainer, ResourceRequirements
from knarr.kinds.lens.meta import ObjectMeta
from knarr.kinds.lens.pod_status import PodStatus
from knarr.kinds.lens.references import LocalObjectReference
from knarr.kinds.lens.scheduling import Affinity, PodSchedulingGate, Toleration, TopologySpreadConstraint
from knarr.kinds.lens.security import PodSecurityContext
from knarr.kinds.lens.volumes import Volume


class HostAlias(Struct, frozen=True, kw_only=True, rename="camel"):
    hostnames: tuple[str, ...] = ()
    ip: str = ""


class PodDNSConfigOption(Struct, frozen=True, kw_only=True, rename="camel"):
    name: str = ""
    value: str | None = None


class PodDNSConfig(Struct, frozen=True, kw_only=True, rename="camel"):
    nameservers: tuple[str, ...] = ()
    options: tuple[PodDNSConfigOption, ...] = ()
    searches: tuple[str, ...] = ()


class PodReadinessGate(Struct, frozen=True, kw_only=True, rename="camel"):
    condition_type: str = ""


class PodOS(Struct, frozen=True, kw_only=True, rename="camel"):
    name: str = ""


class PodSpec(Struct, frozen=True, kw_only=True, rename="camel"):
    active_deadline_seconds: int | None = None
    affinity: Affinity | None = None
    automount_service_account_token: bool | None = None
    containers: tuple[Container, ...] = ()
    dns_config: PodDNSConfig | None = None
    dns_policy: str = ""
    enable_service_links: bool | None = None
    ephemeral_containers: tuple[EphemeralContainer, ...] = ()
    host_aliases: tuple[HostAlias, ...] = ()
    host_ipc: bool = field(default=False, name="hostIPC")
    host_network: bool = False
    host_pid: bool = field(default=False, name="hostPID")
    host_users: bool | None = None
    hostname: str = ""
    hostname_override: str | None = None
    image_pull_secrets: tuple[LocalObjectReference, ...] = ()
    init_containers: tuple[Container, ...] = ()
    node_name: str = ""
    node_selector: dict[str, str] = field(default_factory=dict)
    os: PodOS | None = None
    overhead: dict[str, str] = field(default_factory=dict)
    preemption_policy: str | None = None
    priority: int | None = None
    priority_class_name: str = ""
    readiness_gates: tuple[PodReadinessGate, ...] = ()
    resources: ResourceRequirements | None = None
    restart_policy: str = ""
    runtime_class_name: str | None = None
    scheduler_name: str = ""
    scheduling_gates: tuple[PodSchedulingGate, ...] = ()
    security_context: PodSecurityContext | None = None
    service_account: str = ""
    service_account_name: str = ""
    set_hostname_as_fqdn: bool | None = field(default=None, name="setHostnameAsFQDN")
    share_process_namespace: bool | None = None
    subdomain: str = ""
    termination_grace_period_seconds: int | None = None
    tolerations: tuple[Toleration, ...] = ()
    topology_spread_constraints: tuple[TopologySpreadConstraint, ...] = ()
    volumes: tuple[Volume, ...] = ()


class Pod(Struct, frozen=True, kw_only=True, rename="camel"):
    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class PodTemplateSpec(Struct, frozen=True, kw_only=True, rename="camel"):
    metadata: ObjectMeta = ObjectMeta()
    spec: PodSpec = PodSpec()
