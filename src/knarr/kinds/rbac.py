"""Rows: ClusterRole."""

from knarr.kinds import registry
from knarr.kinds.lens.rbac import ClusterRole

CLUSTERROLE = registry.row("rbac.authorization.k8s.io", "v1", "ClusterRole", ClusterRole)
