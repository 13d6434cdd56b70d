"""GroupStandings: the standings of a template that asks nothing of the pods around it and names no node.

To such a template all nodes of a group (groups.py) are equals, so groups are judged and ranked instead of nodes. The
answers are those of standings.py, of which this is the quick half.
"""

import heapq
from typing import Final

from knarr.scheduler.asking import Asking
from knarr.scheduler.groups import Group
from knarr.scheduler.snapshot import Snapshot
from knarr.scheduler.standings import SHAPES_MAX, Norm, Standings

SLACK: Final = 64
"""Entries of groups that are gone, which are carried before all are ranked anew."""

_Likings = tuple[int, int]
_Entry = tuple[str, int, Group]
"""(first name when it was ranked, number of the announcement, group)."""


class _Ranking:
    """Groups of the same likings, by score: a heap of negative scores, and per score a heap of groups by first name."""

    __slots__ = ("by_score", "scores")

    def __init__(self) -> None:
        self.scores: list[int] = []
        self.by_score: dict[int, list[_Entry]] = {}

    def add(self, negative: int, group: Group) -> None:
        heap = self.by_score.get(negative)
        if heap is None:
            heap = self.by_score[negative] = []
            heapq.heappush(self.scores, negative)
        heapq.heappush(heap, (group.first(), group.number, group))

    def top(self) -> tuple[int, str] | None:
        """The best score, negative, and the first name that has it; None where no group is left."""
        while self.scores:
            negative = self.scores[0]
            name = _first(self.by_score[negative])
            if name is not None:
                return negative, name
            del self.by_score[heapq.heappop(self.scores)]
        return None


def _first(heap: list[_Entry]) -> str | None:
    while heap:
        name, _, group = heap[0]
        if not group.members:
            heapq.heappop(heap)
            continue
        first = group.first()
        if first == name:
            return name
        heapq.heapreplace(heap, (first, group.number, group))
    return None


class GroupStandings(Standings):
    """Standings over groups of nodes."""

    def __init__(self, asking: Asking, snapshot: Snapshot) -> None:
        super().__init__(asking, snapshot)
        self._rankings: dict[_Likings, _Ranking] = {}
        self._ranked = 0

    def refresh(self) -> None:
        """Judge the groups that were announced since."""
        groups = self._snapshot.groups
        if self._seen == groups.number:
            return
        if len(self._rooms) >= SHAPES_MAX:
            self._rooms.clear()
        if self._ranked > SLACK + 4 * len(groups):
            self._rankings.clear()
            self._ranked = self._seen = 0
        for group in groups.announced_since(self._seen):
            self._rank(group)
        self._seen = groups.number

    def _rank(self, group: Group) -> None:
        state = self._snapshot.nodes[group.first()]
        about = self._about(state.node)
        room = self._rooms.get(group.shape) or self._room(state)
        if about.reasons or room.reasons:
            return
        ranking = self._rankings.get(about.likings)
        if ranking is None:
            ranking = self._rankings[about.likings] = _Ranking()
        ranking.add(-room.score, group)
        self._ranked += 1

    def best(self) -> str | None:
        """The fitting node with the highest score, the first by name among equals."""
        tops = {likings: top for likings, ranking in self._rankings.items() if (top := ranking.top()) is not None}
        if len(tops) < 2:
            return next((name for _, name in tops.values()), None)
        norm = Norm(tops, self._asking.profile)
        return min((negative - norm.total(likings), name) for likings, (negative, name) in tops.items())[1]
