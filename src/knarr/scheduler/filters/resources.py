"""NodeResourcesFit: has the node room for what the pod requests?"""

from knarr.kinds.lens.pod import Pod
from knarr.scheduler.snapshot import NodeState, requests


def refusals(pod: Pod, state: NodeState) -> list[str]:
    """`Insufficient cpu`, `Too many pods`, …: one reason per resource that does not fit."""
    allocatable = state.allocatable
    short = [
        name
        for name, amount in requests(pod.spec).items()
        if amount > 0 and amount > allocatable.get(name, 0) - state.requested.get(name, 0)
    ]
    return ["Too many pods" if name == "pods" else f"Insufficient {name}" for name in sorted(short)]
