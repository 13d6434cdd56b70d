"""Which ids of the host stand for the ids of a user namespace: user_namespaces(7), the lines of uid_map and gid_map.

Pure. Not here: who gives ranges to pods (kubelet/user_namespaces.py), who makes namespaces (network/namespaces.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from knarr.base.errors import Invalid


@dataclass(frozen=True, slots=True)
class IdMapping:
    """`length` ids from `container_id` on, inside, are those from `host_id` on, outside."""

    container_id: int
    host_id: int
    length: int


@dataclass(frozen=True, slots=True)
class IdMappings:
    """Those of users and those of groups."""

    uids: tuple[IdMapping, ...]
    gids: tuple[IdMapping, ...]

    def uid(self, inside: int) -> int:
        """The host's id for a user inside. Raises Invalid for one that is not mapped."""
        return _outside(self.uids, inside)

    def gid(self, inside: int) -> int:
        return _outside(self.gids, inside)


def lines(mappings: Sequence[IdMapping]) -> str:
    """What uid_map and gid_map are written with."""
    return "".join(f"{each.container_id} {each.host_id} {each.length}\n" for each in mappings)


def _outside(mappings: Sequence[IdMapping], inside: int) -> int:
    for each in mappings:
        if 0 <= inside - each.container_id < each.length:
            return each.host_id + inside - each.container_id
    raise Invalid(f"id {inside} has no mapping in the pod's user namespace")
