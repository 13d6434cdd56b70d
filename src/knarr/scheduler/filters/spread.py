"""PodTopologySpread: would the pod make one topology domain hold too many more of its kind than the emptiest?

Only `DoNotSchedule` constraints gate; `ScheduleAnyway` weighs (scores/spread.py). A domain counts if one of its nodes
is eligible: it has all the constraints' keys, and, as the policies say, is one the pod may run on.
Spec: "Pod Topology Spread Constraints".
"""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from knarr.scheduler.asking import Asking
from knarr.scheduler.filters import node_affinity, taints
from knarr.scheduler.node_state import NodeState
from knarr.scheduler.snapshot import World
from knarr.scheduler.tally import Row
from knarr.scheduler.terms import Spread

SKEW = "node(s) didn't match pod topology spread constraints"
NO_LABEL = f"{SKEW} (missing required label)"


def prepare(asking: Asking, world: World) -> Callable[[NodeState], Sequence[str]] | None:
    """The filter for one pod, or None when it has no gating constraint."""
    spreads = asking.hard_spreads
    if not spreads:
        return None
    counted = totals(asking, spreads, world)
    rooms = [room(asking, spread, counts, len(counts)) for spread, counts in zip(spreads, counted, strict=True)]

    def refusals(state: NodeState) -> Sequence[str]:
        labels = state.node.metadata.labels
        for spread, counts, most in zip(spreads, counted, rooms, strict=True):
            value = labels.get(spread.topology_key)
            if value is None:
                return [NO_LABEL]
            if counts.get(value, 0) > most:
                return [SKEW]
        return ()

    return refusals


def room(asking: Asking, spread: Spread, counts: Mapping[str, int] | Mapping[int, int], domains: int) -> int:
    """How many pods a domain may hold already for the pod to go there."""
    is_short = domains < (spread.constraint.min_domains or 1)
    least = 0 if is_short else min(counts.values(), default=0)
    own = int(spread.selector.matches(asking.pod.metadata.labels))
    return least + spread.constraint.max_skew - own


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
    return [
        ((index, state.node.metadata.labels[spreads[index].topology_key]), pods)
        for index, pods in enumerate(eligible_pods(asking, spreads, state))
        if pods is not None
    ]


def eligible_pods(asking: Asking, spreads: Sequence[Spread], state: NodeState) -> list[int | None]:
    """Per constraint the counted pods on the node; None where the node is not eligible."""
    labels = state.node.metadata.labels
    if asking.needs_all_keys and any(spread.topology_key not in labels for spread in spreads):
        return [None] * len(spreads)
    counted: dict[int, int] = {}
    found: list[int | None] = []
    for spread in spreads:
        if spread.topology_key not in labels or not is_eligible(asking, spread, state):
            found.append(None)
            continue
        number = counted.get(id(spread.selector))
        if number is None:
            number = counted[id(spread.selector)] = pods_of_kind(asking, spread, state)
        found.append(number)
    return found


def pods_of_kind(asking: Asking, spread: Spread, state: NodeState) -> int:
    """Pods of the namespace on the node that the constraint counts; those that are going are not."""
    namespace, matches = asking.pod.metadata.namespace, spread.selector.matches
    number = 0
    for pod in state.pods.values():
        meta = pod.metadata
        if meta.namespace == namespace and meta.deletion_timestamp is None and matches(meta.labels):
            number += 1
    return number


def is_eligible(asking: Asking, spread: Spread, state: NodeState) -> bool:
    constraint = spread.constraint
    if (constraint.node_affinity_policy or "Honor") == "Honor" and not node_affinity.is_meant(
        asking.wanted, state.node
    ):
        return False
    if constraint.node_taints_policy != "Honor":
        return True
    return not taints.unschedulable(asking.wanted, state.node) and not taints.untolerated(asking.wanted, state.node)
