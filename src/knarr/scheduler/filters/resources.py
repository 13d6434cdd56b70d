"""NodeResourcesFit: does what the pod requests fit beside the pods that are there? No pod to spare: too many pods."""

from collections.abc import Sequence

from knarr.scheduler.node_state import NodeState
from knarr.scheduler.profile import Fit
from knarr.scheduler.wanted import Wanted


def refusals(asked: Wanted, state: NodeState, fit: Fit) -> Sequence[str]:
    """`Insufficient cpu`, `Too many pods`, …: one reason per resource that does not fit."""
    allocatable, requested = state.allocatable, state.requested
    short = [
        name
        for name, amount in asked.requests.items()
        if amount > 0 and amount > allocatable.get(name, 0) - requested.get(name, 0) and not fit.ignores(name)
    ]
    if not short:
        return ()
    return ["Too many pods" if name == "pods" else f"Insufficient {name}" for name in sorted(short)]


def is_hopeless(asked: Wanted, state: NodeState, fit: Fit) -> bool:
    """Whether the pod asks for more than the node has when it is empty: no other pod's leaving helps."""
    allocatable = state.allocatable
    return any(
        amount > allocatable.get(name, 0) and not fit.ignores(name)
        for name, amount in asked.requests.items()
        if amount > 0
    )
