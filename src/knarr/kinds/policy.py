"""Rows: PodDisruptionBudget, ResourceQuota."""

from knarr.kinds import registry
from knarr.kinds.lens.policy import PodDisruptionBudget, ResourceQuota

PODDISRUPTIONBUDGET = registry.row("policy", "v1", "PodDisruptionBudget", PodDisruptionBudget)
RESOURCEQUOTA = registry.row("", "v1", "ResourceQuota", ResourceQuota)
