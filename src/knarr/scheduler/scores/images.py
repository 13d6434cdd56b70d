"""ImageLocality: prefer nodes that hold the pod's images already, by their size.

A size counts by the share of nodes that hold the image, so that one warm node does not draw everything.
"""

from typing import Final

from knarr.scheduler.node_state import NodeState
from knarr.scheduler.snapshot import Snapshot
from knarr.scheduler.wanted import Wanted

MEBIBYTE: Final = 1024 * 1024
SIZE_MIN: Final = 23 * MEBIBYTE
"""Upstream's thresholds: below this nothing is won, above SIZE_MAX per container nothing more."""
SIZE_MAX: Final = 1000 * MEBIBYTE


def locality(asked: Wanted, state: NodeState, snapshot: Snapshot) -> int:
    """0…100."""
    if not state.images:
        return 0
    most = SIZE_MAX * len(asked.images)
    size = sum(_scaled(names, state, snapshot) for names in asked.images)
    return 100 * (min(max(size, SIZE_MIN), most) - SIZE_MIN) // (most - SIZE_MIN) if most else 0


def _scaled(names: frozenset[str], state: NodeState, snapshot: Snapshot) -> int:
    for name in names & state.images.keys():
        return int(state.images[name] * (snapshot.images[name] / len(snapshot.nodes)))
    return 0
