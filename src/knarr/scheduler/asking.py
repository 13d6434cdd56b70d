"""Asking: one pod that asks for a node, with everything compiled that filters and scores read of it.

`wanted` is what it asks of the node itself, `terms` and the spreads what it asks of the pods around; `key` is equal for
pods that ask the same and look the same to others (namespace and labels). `selector` is what the default spreading
constraints of the profile count: the pods of its Services and its set (siblings.py).
"""

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property

import msgspec

from knarr.kinds.lens.pod import Pod
from knarr.objects.labels import NOTHING, Selector
from knarr.scheduler import profile as profiles
from knarr.scheduler import terms, wanted
from knarr.scheduler.profile import Profile
from knarr.scheduler.terms import PodTerms, Spread
from knarr.scheduler.wanted import Wanted


@dataclass(frozen=True)
class Asking:
    pod: Pod
    profile: Profile = profiles.DEFAULT
    selector: Selector = NOTHING

    @cached_property
    def wanted(self) -> Wanted:
        return wanted.of(self.pod)

    @cached_property
    def terms(self) -> PodTerms:
        return terms.of(self.pod)

    @cached_property
    def hard_spreads(self) -> tuple[Spread, ...]:
        return self._spreads("DoNotSchedule") if "PodTopologySpread" in self.profile.filters else ()

    @cached_property
    def soft_spreads(self) -> tuple[Spread, ...]:
        return self._spreads("ScheduleAnyway") if self.profile.weight("PodTopologySpread") else ()

    def _spreads(self, when_unsatisfiable: str) -> tuple[Spread, ...]:
        if self.pod.spec.topology_spread_constraints:
            return terms.spreads(self.pod, when_unsatisfiable)
        if self.selector.is_nothing:
            return ()
        return tuple(
            Spread(each, self.selector)
            for each in self.profile.default_spreads
            if each.when_unsatisfiable == when_unsatisfiable
        )

    @property
    def needs_all_keys(self) -> bool:
        """Do nodes that lack one constraint's key stay out of the spreading altogether?"""
        return bool(self.pod.spec.topology_spread_constraints) or not self.profile.is_system_spreading

    @cached_property
    def key(self) -> Hashable:
        meta, spec = self.pod.metadata, self.pod.spec
        constraints = spec.topology_spread_constraints
        asked = msgspec.json.encode([meta.namespace, meta.labels, spec.affinity, constraints])
        return (self.profile.name, asked, self.selector, self.wanted)

    @property
    def has_claims(self) -> bool:
        return any(one.persistent_volume_claim or one.ephemeral is not None for one in self.pod.spec.volumes)

    @cached_property
    def is_alone(self) -> bool:
        """Does the pod ask nothing of other pods?"""
        return self.terms is terms.NO_TERMS and not self.hard_spreads and not self.soft_spreads
