"""Profile: how pods of one schedulerName are scheduled: which plugins filter, which score and how much, with what args.

The plugins' names, order and default weights are upstream's (kubescheduler.config.k8s.io/v1). Reading them from a file
is configuration.py's; what a plugin does is its own file's, below filters/ and scores/.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from knarr.kinds.lens.scheduling import NodeAffinity, TopologySpreadConstraint

DEFAULT_NAME: Final = "default-scheduler"
FILTERS: Final = (
    "NodeUnschedulable",
    "NodeName",
    "TaintToleration",
    "NodeAffinity",
    "NodePorts",
    "NodeResourcesFit",
    "VolumeRestrictions",
    "NodeVolumeLimits",
    "VolumeBinding",
    "VolumeZone",
    "PodTopologySpread",
    "InterPodAffinity",
)
"""Plugins that filter, in upstream's order."""
WEIGHTS: Final[Mapping[str, int]] = {
    "TaintToleration": 3,
    "NodeAffinity": 2,
    "NodeResourcesFit": 1,
    "PodTopologySpread": 2,
    "InterPodAffinity": 2,
    "NodeResourcesBalancedAllocation": 1,
    "ImageLocality": 1,
}
"""Plugins that score, with upstream's default weights."""
PREEMPTION: Final = "DefaultPreemption"

Strategy = Literal["LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"]
Weighted = tuple[tuple[str, int], ...]
"""(resource, weight)."""
CPU_AND_MEMORY: Final[Weighted] = (("cpu", 1), ("memory", 1))


def _spread(key: str, skew: int) -> TopologySpreadConstraint:
    return TopologySpreadConstraint(max_skew=skew, topology_key=key, when_unsatisfiable="ScheduleAnyway")


SYSTEM_SPREADING: Final = (_spread("kubernetes.io/hostname", 3), _spread("topology.kubernetes.io/zone", 5))
"""Of pods that belong to a Service or a set and name no constraint themselves; upstream's defaultingType System."""


@dataclass(frozen=True, slots=True)
class Fit:
    """NodeResourcesFitArgs. `shape` are (utilization 0…100, score 0…100), rising in utilization."""

    strategy: Strategy = "LeastAllocated"
    resources: Weighted = CPU_AND_MEMORY
    shape: tuple[tuple[int, int], ...] = ()
    ignored: frozenset[str] = frozenset()
    ignored_groups: frozenset[str] = frozenset()

    def ignores(self, resource: str) -> bool:
        return resource in self.ignored or ("/" in resource and resource.partition("/")[0] in self.ignored_groups)


@dataclass(frozen=True, slots=True)
class Profile:
    """Equal names never meet in one scheduler, so the name stands for the profile in keys of caches."""

    name: str = DEFAULT_NAME
    filters: frozenset[str] = frozenset(FILTERS)
    weights: Mapping[str, int] = field(default_factory=lambda: dict(WEIGHTS))
    can_preempt: bool = True
    is_gating: bool = True
    fit: Fit = Fit()
    balanced: Weighted = CPU_AND_MEMORY
    added_affinity: NodeAffinity | None = None
    hard_pod_affinity_weight: int = 1
    ignores_preferred_terms_of_existing_pods: bool = False
    default_spreads: tuple[TopologySpreadConstraint, ...] = SYSTEM_SPREADING
    is_system_spreading: bool = True
    """The default constraints are the system's: nodes without one of the keys are then scored by the others."""
    candidates_percentage: int = 10
    candidates_min: int = 100
    bind_timeout_seconds: int = 600
    """How long a pod may wait for the volumes of its claims once its node is chosen."""
    percentage_of_nodes_to_score: int = 0
    """0: upstream's rule for the size of the cluster."""

    def weight(self, plugin: str) -> int:
        return self.weights.get(plugin, 0)


DEFAULT: Final = Profile()


@dataclass(frozen=True, slots=True)
class Configuration:
    """`profiles` by schedulerName. A refused pod waits first…max seconds before it is tried again."""

    profiles: Mapping[str, Profile]
    backoff_first_seconds: float = 1.0
    backoff_max_seconds: float = 10.0


DEFAULT_CONFIGURATION: Final = Configuration({DEFAULT.name: DEFAULT})
