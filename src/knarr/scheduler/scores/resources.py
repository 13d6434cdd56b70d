"""NodeResourcesFit (least allocated) and balanced allocation: prefer the node with the most room, evenly used."""

from knarr.kinds.lens.pod import Pod
from knarr.scheduler.snapshot import NodeState, requests

SCORED = ("cpu", "memory")


def score(pod: Pod, state: NodeState) -> float:
    """0…100 for room plus 0…100 for balance between CPU and memory."""
    wanted, allocatable = requests(pod.spec), state.allocatable
    used = [
        min(1.0, (state.requested.get(name, 0) + wanted.get(name, 0)) / allocatable[name])
        for name in SCORED
        if allocatable.get(name)
    ]
    if not used:
        return 0.0
    mean = sum(used) / len(used)
    spread = (sum((share - mean) ** 2 for share in used) / len(used)) ** 0.5
    return float(100 * (1 - mean) + 100 * (1 - spread))
