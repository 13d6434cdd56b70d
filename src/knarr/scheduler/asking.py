"""Asking: one pod that asks for a node, with everything compiled that filters and scores read of it.

`wanted` is what it asks of the node itself, `terms` and the spreads what it asks of the pods around; `key` is equal for
pods that ask the same and look the same to others (namespace and labels).
"""

from dataclasses import dataclass
from functools import cached_property

import msgspec

from knarr.kinds.lens.pod import Pod
from knarr.scheduler import terms, wanted
from knarr.scheduler.terms import PodTerms, Spread
from knarr.scheduler.wanted import Wanted


@dataclass(frozen=True)
class Asking:
    pod: Pod

    @cached_property
    def wanted(self) -> Wanted:
        return wanted.of(self.pod)

    @cached_property
    def terms(self) -> PodTerms:
        return terms.of(self.pod)

    @cached_property
    def hard_spreads(self) -> tuple[Spread, ...]:
        return terms.spreads(self.pod, "DoNotSchedule")

    @cached_property
    def soft_spreads(self) -> tuple[Spread, ...]:
        return terms.spreads(self.pod, "ScheduleAnyway")

    @cached_property
    def key(self) -> bytes:
        meta, spec = self.pod.metadata, self.pod.spec
        constraints = spec.topology_spread_constraints
        return msgspec.json.encode([meta.namespace, meta.labels, spec.affinity, constraints, wanted.template(spec)])

    @property
    def is_alone(self) -> bool:
        """Does the pod ask nothing of other pods?"""
        return self.terms is terms.NO_TERMS and not self.pod.spec.topology_spread_constraints
