"""Tally: a sum per cell over all nodes, such as the pods per topology domain, kept up node by node."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence

Cell = Hashable
Row = Sequence[tuple[Cell, int]]
"""What one node adds to a tally: a number per cell; 0 says that the cell exists."""


class Tally:
    """`sums` per cell over all nodes, kept up node by node; a cell without any of its `nodes` is not there."""

    __slots__ = ("_rows", "nodes", "seen", "sums")

    def __init__(self) -> None:
        self.seen = 0
        self.sums: Counter[Cell] = Counter()
        self.nodes: Counter[Cell] = Counter()
        self._rows: dict[str, Row] = {}

    def put(self, name: str, row: Row) -> None:
        """What the node adds from now on."""
        for cell, count in self._rows.pop(name, ()):
            self.sums[cell] -= count
            self.nodes[cell] -= 1
            if not self.nodes[cell]:
                del self.sums[cell], self.nodes[cell]
        if row:
            self._rows[name] = row
        for cell, count in row:
            self.sums[cell] += count
            self.nodes[cell] += 1

    def supposing(self, name: str, row: Row) -> Mapping[Cell, int]:
        """The sums if the node added this instead."""
        twin = Tally()
        twin.sums, twin.nodes = self.sums.copy(), self.nodes.copy()
        twin._rows = {name: self._rows[name]} if name in self._rows else {}
        twin.put(name, row)
        return twin.sums
