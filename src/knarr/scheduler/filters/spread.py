"""PodTopologySpread: would the pod make one topology domain hold too many more of its kind than the emptiest?

Only `DoNotSchedule` constraints gate; `ScheduleAnyway` weighs (scores/spread.py). A domain counts if one of its nodes
is eligible: it has all the constraints' keys, and, as the policies say, is one the pod may run on.
Spec: "Pod Topology Spread Constraints".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from knarr.scheduler.asking import Asking
from knarr.scheduler.filters import node_affinity, taints
from knarr.scheduler.node_state import NodeState
from knarr.scheduler.snapshot import World
from knarr.scheduler.tally import Row
from knarr.scheduler.terms import Spread

SKEW = "node(s) didn't match pod topology spread constraints"
NO_LABEL = f"{SKEW} (missing required label)"


@dataclass(frozen=True, slots=True)
class _Domains:
    counts: Mapping[str, int]
    limit: int
    """More pods than this in a domain are too many, this pod included."""
    own: int
    """1 where the pod itself is counted."""


def prepare(asking: Asking, world: World) -> Callable[[NodeState], Sequence[str]] | None:
    """The filter for one pod, or None when it has no gating constraint."""
    spreads = asking.hard_spreads
    if not spreads:
        return None
    domains = [
        _domains(asking, spread, counts) for spread, counts in zip(spreads, totals(asking, spreads, world), strict=True)
    ]

    def refusals(state: NodeState) -> Sequence[str]:
        labels = state.node.metadata.labels
        for spread, domain in zip(spreads, domains, strict=True):
            value = labels.get(spread.topology_key)
            if value is None:
                return [NO_LABEL]
            if domain.counts.get(value, 0) + domain.own > domain.limit:
                return [SKEW]
        return ()

    return refusals


def _domains(asking: Asking, spread: Spread, counts: Mapping[str, int]) -> _Domains:
    is_short = len(counts) < (spread.constraint.min_domains or 1)
    least = 0 if is_short else min(counts.values(), default=0)
    own = int(spread.selector.matches(asking.pod.metadata.labels))
    return _Domains(counts, least + spread.constraint.max_skew, own)


def totals(asking: Asking, spreads: Sequence[Spread], world: World) -> list[dict[str, int]]:
    """Per constraint the number of counted pods in each domain, empty domains included."""
    found: list[dict[str, int]] = [{} for _ in spreads]
    kind = spreads[0].constraint.when_unsatisfiable
    for cell, count in world.sums(("spread", kind, asking.key), lambda state: _row(asking, spreads, state)).items():
        index, domain = cast(tuple[int, str], cell)
        found[index][domain] = count
    return found


def _row(asking: Asking, spreads: Sequence[Spread], state: NodeState) -> Row:
    """The node's pods per (constraint, domain); nothing where the node is not eligible."""
    labels = state.node.metadata.labels
    if any(spread.topology_key not in labels for spread in spreads):
        return ()
    return [
        ((index, labels[each.topology_key]), pods_of_kind(asking, each, state))
        for index, each in enumerate(spreads)
        if _is_eligible(asking, each, state)
    ]


def pods_of_kind(asking: Asking, spread: Spread, state: NodeState) -> int:
    """Pods of the namespace on the node that the constraint counts; those that are going are not."""
    return sum(
        pod.metadata.namespace == asking.pod.metadata.namespace
        and pod.metadata.deletion_timestamp is None
        and spread.selector.matches(pod.metadata.labels)
        for pod in state.pods.values()
    )


def _is_eligible(asking: Asking, spread: Spread, state: NodeState) -> bool:
    constraint = spread.constraint
    if (constraint.node_affinity_policy or "Honor") == "Honor" and not node_affinity.is_meant(
        asking.wanted, state.node
    ):
        return False
    return constraint.node_taints_policy != "Honor" or not taints.refusals(asking.wanted, state)
