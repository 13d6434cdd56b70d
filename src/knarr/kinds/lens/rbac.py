"""Lens: ClusterRole.

Typed, frozen views for readers. Field names and zero values follow the Go types: a field that Go holds
by pointer is None when absent, any other has its zero value. Only what some reader needs stands here; the
stored JSON keeps everything else. Facts: kinds/facts/types.json (a test compares).
"""

from msgspec import Struct, field

from knarr.kinds.lens.meta import LabelSelector, ObjectMeta


class PolicyRule(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    verbs: tuple[str, ...] = ()
    api_groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    resource_names: tuple[str, ...] = ()
    non_resource_urls: tuple[str, ...] = field(default=(), name="nonResourceURLs")


class AggregationRule(Struct, frozen=True, kw_only=True, rename="camel"):
    cluster_role_selectors: tuple[LabelSelector, ...] = ()


class ClusterRole(Struct, frozen=True, kw_only=True, rename="camel"):
    aggregation_rule: AggregationRule | None = None
    metadata: ObjectMeta = ObjectMeta()
    rules: tuple[PolicyRule, ...] = ()
