"""Lens: PodDisruptionBudget, ResourceQuota, Endpoints.

Typed, frozen views for readers. Field names and zero values follow the Go types: a field that Go holds
by pointer is None when absent, any other has its zero value. Only what some reader needs stands here; the
stored JSON keeps everything else. Facts: kinds/facts/types.json (a test compares).
"""

from datetime import datetime

from msgspec import Struct, field

from knarr.kinds.lens.meta import Condition, LabelSelector, ObjectMeta
from knarr.kinds.lens.references import ObjectReference


class PodDisruptionBudgetSpec(Struct, frozen=True, kw_only=True, rename="camel"):
    max_unavailable: int | str | None = None
    min_available: int | str | None = None
    selector: LabelSelector | None = None
    unhealthy_pod_eviction_policy: str | None = None


class PodDisruptionBudgetStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    conditions: tuple[Condition, ...] = ()
    current_healthy: int = 0
    desired_healthy: int = 0
    disrupted_pods: dict[str, datetime] = field(default_factory=dict)
    disruptions_allowed: int = 0
    expected_pods: int = 0
    observed_generation: int = 0


class PodDisruptionBudget(Struct, frozen=True, kw_only=True, rename="camel"):
    metadata: ObjectMeta = ObjectMeta()
    spec: PodDisruptionBudgetSpec = PodDisruptionBudgetSpec()
    status: PodDisruptionBudgetStatus = PodDisruptionBudgetStatus()


class ScopedResourceSelectorRequirement(Struct, frozen=True, kw_only=True, rename="camel"):
    operator: str = ""
    scope_name: str = ""
    values: tuple[str, ...] = ()


class ScopeSelector(Struct, frozen=True, kw_only=True, rename="camel"):
    match_expressions: tuple[ScopedResourceSelectorRequirement, ...] = ()


class ResourceQuotaSpec(Struct, frozen=True, kw_only=True, rename="camel"):
    hard: dict[str, str] = field(default_factory=dict)
    scope_selector: ScopeSelector | None = None
    scopes: tuple[str, ...] = ()


class ResourceQuotaStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    hard: dict[str, str] = field(default_factory=dict)
    used: dict[str, str] = field(default_factory=dict)


class ResourceQuota(Struct, frozen=True, kw_only=True, rename="camel"):
    metadata: ObjectMeta = ObjectMeta()
    spec: ResourceQuotaSpec = ResourceQuotaSpec()
    status: ResourceQuotaStatus = ResourceQuotaStatus()


class EndpointAddress(Struct, frozen=True, kw_only=True, rename="camel"):
    hostname: str = ""
    ip: str = ""
    node_name: str | None = None
    target_ref: ObjectReference | None = None


class EndpointPort(Struct, frozen=True, kw_only=True, rename="camel"):
    app_protocol: str | None = None
    name: str = ""
    port: int = 0
    protocol: str = ""


class EndpointSubset(Struct, frozen=True, kw_only=True, rename="camel"):
    addresses: tuple[EndpointAddress, ...] = ()
    not_ready_addresses: tuple[EndpointAddress, ...] = ()
    ports: tuple[EndpointPort, ...] = ()


class Endpoints(Struct, frozen=True, kw_only=True, rename="camel"):
    metadata: ObjectMeta = ObjectMeta()
    subsets: tuple[EndpointSubset, ...] = ()
