"""NodeResourcesFit and NodeResourcesBalancedAllocation: prefer the node with the most room (or the least), evenly used.

The arithmetic is upstream's, in whole numbers. An extended resource counts only for pods that ask for it.
Spec: "Resource Bin Packing", "Scheduler Configuration".
"""

from collections.abc import Iterator

from knarr.scheduler.node_state import NodeState
from knarr.scheduler.profile import Fit, Weighted
from knarr.scheduler.wanted import ASSUMED, Wanted


def fit_score(asked: Wanted, state: NodeState, fit: Fit) -> int:
    """0…100."""
    match fit.strategy:
        case "LeastAllocated":
            return _least_allocated(asked, state, fit.resources)
        case "MostAllocated":
            return _most_allocated(asked, state, fit.resources)
        case "RequestedToCapacityRatio":
            return _by_ratio(asked, state, fit)


def _shares(asked: Wanted, state: NodeState, resources: Weighted) -> Iterator[tuple[int, int, int]]:
    """(used with the pod, room, weight) of each resource that the node has and the pod concerns."""
    for name, weight in resources:
        room = state.allocatable.get(name, 0)
        if not room:
            continue
        if name in ASSUMED:
            yield state.scored.get(name, 0) + asked.scored.get(name, 0), room, weight
        elif asked.requests.get(name) or "/" not in name:
            yield state.requested.get(name, 0) + asked.requests.get(name, 0), room, weight


def _least_allocated(asked: Wanted, state: NodeState, resources: Weighted) -> int:
    total = weights = 0
    for used, room, weight in _shares(asked, state, resources):
        total += weight * (0 if used > room else (room - used) * 100 // room)
        weights += weight
    return total // weights if weights else 0


def _most_allocated(asked: Wanted, state: NodeState, resources: Weighted) -> int:
    total = weights = 0
    for used, room, weight in _shares(asked, state, resources):
        total += weight * (min(used, room) * 100 // room)
        weights += weight
    return total // weights if weights else 0


def _by_ratio(asked: Wanted, state: NodeState, fit: Fit) -> int:
    total = weights = 0
    for used, room, weight in _shares(asked, state, fit.resources):
        score = on_shape(100 if used > room else used * 100 // room, fit.shape)
        if score > 0:
            total += weight * score
            weights += weight
    return (2 * total + weights) // (2 * weights) if weights else 0


def on_shape(utilization: int, shape: tuple[tuple[int, int], ...]) -> int:
    """The score on the line through the shape's points; flat outside of them. Divides as Go: towards zero."""
    for index, (at, score) in enumerate(shape):
        if utilization <= at:
            if index == 0:
                return score
            before, lower = shape[index - 1]
            return lower + int((score - lower) * (utilization - before) / (at - before))
    return shape[-1][1]


def balanced(asked: Wanted, state: NodeState, resources: Weighted) -> int:
    """0…100: how alike the used shares are. A pod that asks for none of them has nothing to balance."""
    requests, requested, allocatable = asked.requests, state.requested, state.allocatable
    if not any(requests.get(name) for name, _ in resources):
        return 0
    shares = [
        min(1.0, (requested.get(name, 0) + requests.get(name, 0)) / allocatable[name])
        for name, _ in resources
        if allocatable.get(name) and ("/" not in name or requests.get(name))
    ]
    if not shares:
        return 0
    if len(shares) == 2:
        return int((1 - abs(shares[0] - shares[1]) / 2) * 100)
    mean = sum(shares) / len(shares)
    deviation = (sum((share - mean) ** 2 for share in shares) / len(shares)) ** 0.5
    return int((1 - deviation) * 100)
