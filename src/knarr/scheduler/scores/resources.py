"""NodeResourcesFit (least allocated) and balanced allocation: prefer the node with the most room, evenly used."""

from knarr.scheduler.node_state import NodeState
from knarr.scheduler.wanted import Wanted

SCORED = ("cpu", "memory")


def least_allocated(asked: Wanted, state: NodeState) -> int:
    """0…100: the mean free share of CPU and memory, in upstream's whole numbers."""
    scores = []
    for name in SCORED:
        room = state.allocatable.get(name, 0)
        if room:
            used = state.scored.get(name, 0) + asked.scored.get(name, 0)
            scores.append(0 if used > room else (room - used) * 100 // room)
    return sum(scores) // len(scores) if scores else 0


def balanced(asked: Wanted, state: NodeState) -> int:
    """0…100: how alike the used shares of CPU and memory are."""
    shares = [
        min(1.0, (state.requested.get(name, 0) + asked.requests.get(name, 0)) / state.allocatable[name])
        for name in SCORED
        if state.allocatable.get(name)
    ]
    if not shares:
        return 0
    mean = sum(shares) / len(shares)
    deviation = (sum((share - mean) ** 2 for share in shares) / len(shares)) ** 0.5
    return int((1 - deviation) * 100)
