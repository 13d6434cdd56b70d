"""NodeResourcesFit: has the node room for what the pod requests, extended resources included?"""

from collections.abc import Sequence

from knarr.scheduler.node_state import NodeState
from knarr.scheduler.wanted import Wanted


def refusals(asked: Wanted, state: NodeState) -> Sequence[str]:
    """`Insufficient cpu`, `Too many pods`, …: one reason per resource that does not fit."""
    allocatable, requested = state.allocatable, state.requested
    short = [
        name
        for name, amount in asked.requests.items()
        if amount > 0 and amount > allocatable.get(name, 0) - requested.get(name, 0)
    ]
    if not short:
        return ()
    return ["Too many pods" if name == "pods" else f"Insufficient {name}" for name in sorted(short)]
