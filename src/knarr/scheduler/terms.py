"""Terms: what a pod asks of the pods around it: affinity to them, distance from them, an even spread.

`of(pod)` compiles its affinity terms; a `Term` says which pods it means. Namespaces are named, chosen by label, or the
pod's own. matchLabelKeys take their values from the pod's labels, whether or not the server merged them already.
Spec: "Assigning Pods to Nodes: inter-pod affinity and anti-affinity", "Pod Topology Spread Constraints".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from knarr.kinds.lens.meta import LabelSelector
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.scheduling import PodAffinityTerm, TopologySpreadConstraint, WeightedPodAffinityTerm
from knarr.objects import labels
from knarr.objects.labels import Requirement, Selector

NamespaceLabels = Mapping[str, Mapping[str, str]]
"""The labels of each namespace by its name."""


@dataclass(frozen=True, slots=True)
class Term:
    """Pods of `namespaces` or of those that `namespace_selector` chooses, whose labels the selector matches."""

    topology_key: str
    selector: Selector
    namespaces: frozenset[str]
    namespace_selector: Selector
    weight: int = 0

    def matches(self, pod: Pod, namespaces: NamespaceLabels) -> bool:
        inside = pod.metadata.namespace
        if inside not in self.namespaces and not self.namespace_selector.matches(namespaces.get(inside, {})):
            return False
        return self.selector.matches(pod.metadata.labels)


@dataclass(frozen=True, slots=True)
class PodTerms:
    """The terms of one pod; `required…` gate, `preferred` weigh (anti-affinity with negative weight)."""

    required_affinity: tuple[Term, ...] = ()
    required_anti_affinity: tuple[Term, ...] = ()
    preferred: tuple[Term, ...] = ()


NO_TERMS = PodTerms()


@dataclass(frozen=True, slots=True)
class Spread:
    """One topology spread constraint with its selector compiled."""

    constraint: TopologySpreadConstraint
    selector: Selector

    @property
    def topology_key(self) -> str:
        return self.constraint.topology_key


def of(pod: Pod) -> PodTerms:
    affinity = pod.spec.affinity
    if affinity is None or (affinity.pod_affinity is None and affinity.pod_anti_affinity is None):
        return NO_TERMS
    near, far = affinity.pod_affinity, affinity.pod_anti_affinity
    return PodTerms(
        _required(pod, near.required_during_scheduling_ignored_during_execution if near else ()),
        _required(pod, far.required_during_scheduling_ignored_during_execution if far else ()),
        (
            *_preferred(pod, near.preferred_during_scheduling_ignored_during_execution if near else (), 1),
            *_preferred(pod, far.preferred_during_scheduling_ignored_during_execution if far else (), -1),
        ),
    )


def spreads(pod: Pod, when_unsatisfiable: str) -> tuple[Spread, ...]:
    """The pod's constraints of that kind (DoNotSchedule or ScheduleAnyway)."""
    return tuple(
        Spread(each, _selector(each.label_selector, _kept(pod, each.match_label_keys, "in")))
        for each in pod.spec.topology_spread_constraints
        if each.when_unsatisfiable == when_unsatisfiable
    )


def _required(pod: Pod, asked: Sequence[PodAffinityTerm]) -> tuple[Term, ...]:
    return tuple(_term(pod, each, 0) for each in asked)


def _preferred(pod: Pod, asked: Sequence[WeightedPodAffinityTerm], sign: int) -> tuple[Term, ...]:
    return tuple(_term(pod, each.pod_affinity_term, sign * each.weight) for each in asked)


def _term(pod: Pod, asked: PodAffinityTerm, weight: int) -> Term:
    extra = (*_kept(pod, asked.match_label_keys, "in"), *_kept(pod, asked.mismatch_label_keys, "notin"))
    is_own = not asked.namespaces and asked.namespace_selector is None
    return Term(
        asked.topology_key,
        _selector(asked.label_selector, extra),
        frozenset((pod.metadata.namespace,) if is_own else asked.namespaces),
        _selector(asked.namespace_selector, ()),
        weight,
    )


def _kept(pod: Pod, keys: Sequence[str], operator: labels.Operator) -> tuple[Requirement, ...]:
    """One requirement per key that the pod itself is labelled with."""
    own = pod.metadata.labels
    return tuple(Requirement(key, operator, frozenset((own[key],))) for key in keys if key in own)


def _selector(asked: LabelSelector | None, extra: tuple[Requirement, ...]) -> Selector:
    """Null chooses nothing, with or without further requirements."""
    if asked is None:
        return labels.NOTHING
    found = labels.of(msgspec.to_builtins(asked))
    return Selector((*found.requirements, *extra))
