"""NodePorts: are the host ports that the pod wants free on the node?"""

from collections.abc import Sequence

from knarr.scheduler.node_state import NodeState
from knarr.scheduler.wanted import HostPort, Wanted

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104  compared, never bound


def refusals(asked: Wanted, state: NodeState) -> Sequence[str]:
    taken = any(_collide(wanted, held) for wanted in asked.host_ports for held in state.host_ports)
    return ["node(s) didn't have free ports for the requested pod ports"] if taken else ()


def _collide(one: HostPort, other: HostPort) -> bool:
    same_address = one[2] == other[2] or EVERY_ADDRESS in (one[2], other[2])
    return one[:2] == other[:2] and same_address
