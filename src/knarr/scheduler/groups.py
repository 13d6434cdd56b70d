"""Groups: nodes that are alike to every template which names none: one shape, the same taints, schedulable or not.

Most nodes of a large cluster stand in few groups, so a template that is asked among thousands of nodes compares the
groups that came up since it was asked last (group_standings.py), not the nodes. A group ends with its last member.
Vocabulary: a group is *announced* when it begins, and again when a name comes first in it.
"""

import heapq
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from knarr.kinds.lens.scheduling import Taint
from knarr.scheduler.node_state import NodeState, Shape

SLACK: Final = 64
"""Names of nodes that have left, which a group carries before it is tidied."""

_Key = tuple[Shape, tuple[Taint, ...], bool]


class Group:
    """Nodes that are alike, by name; `number` is that of its last announcement."""

    __slots__ = ("_names", "key", "members", "number")

    def __init__(self, key: _Key) -> None:
        self.key = key
        self.members: set[str] = set()
        self.number = 0
        self._names: list[str] = []

    @property
    def shape(self) -> Shape:
        return self.key[0]

    def first(self) -> str:
        """The member whose name sorts first."""
        names = self._names
        while names[0] not in self.members:
            heapq.heappop(names)
        return names[0]

    def join(self, name: str) -> bool:
        """Whether the name now comes first."""
        is_first = not self.members or name < self.first()
        if not self.members:
            self._names.clear()
        self.members.add(name)
        heapq.heappush(self._names, name)
        if len(self._names) > SLACK + 2 * len(self.members):
            self._names = sorted(self.members)
        return is_first


class Groups:
    """All groups of a snapshot."""

    def __init__(self) -> None:
        self._by_key: dict[_Key, Group] = {}
        self._of: dict[str, Group] = {}
        self._announced: OrderedDict[int, Group] = OrderedDict()
        self.number = 0

    def __len__(self) -> int:
        return len(self._by_key)

    def put(self, state: NodeState) -> None:
        """The node is as it is now."""
        spec = state.node.spec
        key = (state.shape, spec.taints, spec.unschedulable)
        before = self._of.get(state.name)
        if before is not None:
            if before.key == key:
                return
            self._leave(before, state.name)
        group = self._by_key.get(key)
        if group is None:
            group = self._by_key[key] = Group(key)
        self._of[state.name] = group
        if group.join(state.name):
            self._announced.pop(group.number, None)
            self.number += 1
            group.number = self.number
            self._announced[group.number] = group

    def drop(self, name: str) -> None:
        group = self._of.pop(name, None)
        if group is not None:
            self._leave(group, name)

    def announced_since(self, number: int) -> Iterator[Group]:
        """The latest first."""
        for found in reversed(self._announced):
            if found <= number:
                return
            yield self._announced[found]

    def _leave(self, group: Group, name: str) -> None:
        group.members.discard(name)
        if not group.members:
            del self._by_key[group.key], self._announced[group.number]
