"""Surroundings: what the pods around mean for one asking pod, by *cell* instead of by node.

A cell is all that filters and scores over the pods around read of a node: its values of the topology keys in question,
and for kubernetes.io/hostname (one node per value) the counts on the node itself. Nodes of one cell get one answer, so
a decision among thousands of nodes asks a few cells. The sums over all nodes are kept up node by node (tally.py).
The same questions asked node by node: filters/spread.py, filters/inter_pod.py and their scores; a test compares.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final, Protocol, cast

from msgspec import Struct

from knarr.kinds.lens.node import Node
from knarr.scheduler.asking import Asking
from knarr.scheduler.filters import inter_pod
from knarr.scheduler.filters import spread as spread_filter
from knarr.scheduler.node_state import NodeState
from knarr.scheduler.scores import inter_pod as inter_pod_score
from knarr.scheduler.scores import spread as spread_score
from knarr.scheduler.snapshot import Snapshot
from knarr.scheduler.tally import Tally
from knarr.scheduler.terms import NO_TERMS, Spread, Term

HOST: Final = "kubernetes.io/hostname"
Cell = tuple[Any, ...]
Numbers = Mapping[Cell, int]
"""How many fitting nodes each cell has."""


class _Part(Protocol):
    version: int
    """Another version: the cells of all nodes look different now."""

    def note(self, state: NodeState) -> Hashable: ...

    def prepare(self) -> None:
        """All changed nodes are noted; a decision begins."""
        ...

    def refuses(self, cell: Any) -> bool: ...

    def scores(self, numbers: Mapping[Any, int]) -> Mapping[Any, int] | None: ...


class Surroundings:
    """All parts that concern the asking pod; a cell is the tuple of theirs."""

    def __init__(self, asking: Asking, snapshot: Snapshot) -> None:
        self._parts: list[_Part] = []
        weights = asking.profile.weights
        self._weights: list[int] = []
        if asking.hard_spreads:
            self._add(_Spreads(asking, snapshot, asking.hard_spreads, is_gating=True), 0)
        if asking.soft_spreads:
            self._add(_Spreads(asking, snapshot, asking.soft_spreads, is_gating=False), weights["PodTopologySpread"])
        if snapshot.has_terms or asking.terms != NO_TERMS:
            self._add(_Neighbourhood(asking, snapshot), weights.get("InterPodAffinity", 0))

    def _add(self, part: _Part, weight: int) -> None:
        self._parts.append(part)
        self._weights.append(weight)

    @property
    def version(self) -> int:
        return sum(part.version for part in self._parts)

    def note(self, state: NodeState) -> Cell:
        """The cell of a node that is new or changed."""
        return tuple([part.note(state) for part in self._parts])

    def prepare(self) -> None:
        for part in self._parts:
            part.prepare()

    def refuses(self, cell: Cell) -> bool:
        return any(part.refuses(own) for part, own in zip(self._parts, cell, strict=True))

    def scores(self, numbers: Numbers) -> dict[Cell, int]:
        """The weighted score of each cell among those that have fitting nodes."""
        totals = dict.fromkeys(numbers, 0)
        for index, (part, weight) in enumerate(zip(self._parts, self._weights, strict=True)):
            if not weight:
                continue
            merged: dict[Any, int] = {}
            for cell, number in numbers.items():
                merged[cell[index]] = merged.get(cell[index], 0) + number
            scored = part.scores(merged)
            if scored:
                for cell in totals:
                    totals[cell] += weight * scored[cell[index]]
        return totals


class _Place(Struct, frozen=True, gc=False):
    """What a node itself means for the constraints: its value of each key, and for which of them its pods count."""

    node: Node
    values: tuple[str | None, ...]
    is_eligible: tuple[bool, ...]


class _Spreads:
    """Topology spread constraints of one kind. Its cell has a value per constraint: the node's value of the key, or
    for the host key the counted pods on it; None without the key."""

    def __init__(self, asking: Asking, snapshot: Snapshot, spreads: Sequence[Spread], *, is_gating: bool) -> None:
        self.version = 0
        self._asking = asking
        self._spreads = spreads
        self._is_gating = is_gating
        self._tally = Tally()
        self._counts: list[dict[Any, int]] = []
        self._rooms: list[int] = []
        # The default constraints count the same pods: once per selector is enough.
        kinds = {spread.selector: spread for spread in spreads}
        self._kinds = tuple(kinds.values())
        self._kind_of = tuple(list(kinds).index(spread.selector) for spread in spreads)
        self._places = self._places_of(snapshot)
        self._noted: dict[str, tuple[_Place, list[int], Hashable]] = {}

    def note(self, state: NodeState) -> Hashable:
        place = self._places.get(state.name)
        if place is None or place.node is not state.node:
            place = self._places[state.name] = self._place(state)
        numbers = [spread_filter.pods_of_kind(self._asking, spread, state) for spread in self._kinds]
        noted = self._noted.get(state.name)
        if noted is not None and noted[0] is place and noted[1] == numbers:
            return noted[2]  # Most changes of a node are about other pods.
        cell: list[Any] = []
        row: list[tuple[Hashable, int]] = []
        for index, spread in enumerate(self._spreads):
            value: Any = place.values[index]
            number = numbers[self._kind_of[index]]
            if value is not None and spread.topology_key == HOST:
                value = number if place.is_eligible[index] else 0
            if place.is_eligible[index]:
                row.append(((index, value), number))
            cell.append(value)
        self._tally.put(state.name, row)
        self._noted[state.name] = (place, numbers, tuple(cell))
        return tuple(cell)

    def _places_of(self, snapshot: Snapshot) -> dict[str, _Place]:
        """The places by node; templates that tell no nodes apart share them."""
        asked = self._asking.wanted
        honors = any(spread.constraint.node_taints_policy == "Honor" for spread in self._spreads)
        if honors or asked.node_selector or asked.required:
            return {}
        keys = tuple(spread.topology_key for spread in self._spreads)
        places: dict[str, _Place] = snapshot.kept(("places", keys, self._asking.needs_all_keys), dict)
        return places

    def _place(self, state: NodeState) -> _Place:
        labels = state.node.metadata.labels
        values = tuple(labels.get(spread.topology_key) for spread in self._spreads)
        if self._asking.needs_all_keys and None in values:
            return _Place(state.node, values, (False,) * len(values))
        counted = tuple(
            value is not None and spread_filter.is_eligible(self._asking, spread, state)
            for value, spread in zip(values, self._spreads, strict=True)
        )
        return _Place(state.node, values, counted)

    def prepare(self) -> None:
        self._counts = [{} for _ in self._spreads]
        domains = [0] * len(self._spreads)
        for cell, nodes in self._tally.nodes.items():
            index, value = cast(tuple[int, Any], cell)
            is_host = self._spreads[index].topology_key == HOST
            self._counts[index][value] = value if is_host else self._tally.sums[cell]
            domains[index] += nodes if is_host else 1
        if self._is_gating:
            self._rooms = [
                spread_filter.room(self._asking, spread, counts, number)
                for spread, counts, number in zip(self._spreads, self._counts, domains, strict=True)
            ]

    def refuses(self, cell: Any) -> bool:
        return self._is_gating and any(
            value is None or counts.get(value, 0) > room
            for value, counts, room in zip(cell, self._counts, self._rooms, strict=True)
        )

    def scores(self, numbers: Mapping[Any, int]) -> Mapping[Any, int] | None:
        is_strict = self._asking.needs_all_keys
        rated = [cell for cell in numbers if not is_strict or None not in cell]
        sizes = []
        for index, spread in enumerate(self._spreads):
            if spread.topology_key == HOST:
                named = sum(numbers[cell] for cell in rated if cell[index] is not None)
                sizes.append(named + any(cell[index] is None for cell in rated))
            else:
                sizes.append(len({cell[index] for cell in rated}))
        raw = {}
        for cell in rated:
            found = [
                None if value is None else each.get(value, 0) for value, each in zip(cell, self._counts, strict=True)
            ]
            raw[cell] = spread_score.rough(self._spreads, found, sizes)
        return {**dict.fromkeys(numbers, 0), **spread_score.normalised(raw)}


class _Neighbourhood:
    """Affinity between pods. Its cell: (values of the keys that matter, what the node's own pods say about the host
    key or None). Keys that come up later change the version."""

    def __init__(self, asking: Asking, snapshot: Snapshot) -> None:
        self.version = 0
        self._asking = asking
        self._snapshot = snapshot
        is_gating = "InterPodAffinity" in asking.profile.filters
        self._near: tuple[Term, ...] = asking.terms.required_affinity if is_gating else ()
        self._far: tuple[Term, ...] = asking.terms.required_anti_affinity if is_gating else ()
        self._is_gating = is_gating
        self._weigh = inter_pod_score.weigher(asking, snapshot)
        self._keys: dict[str, None] = {term.topology_key: None for term in (*self._near, *self._far)}
        self._tally = Tally()
        self._is_first = False
        self._asks_nothing = asking.terms == NO_TERMS

    def note(self, state: NodeState) -> Hashable:
        if self._asks_nothing and not state.terms:
            return self._quiet(state)
        terms, labels = self._asking.terms, state.node.metadata.labels
        found = inter_pod.neighbours(self._asking.pod, terms, state, self._snapshot) if self._is_gating else None
        weights: Mapping[str, int] = self._weigh(state) or {}
        for key in (*(found.refused_keys if found else ()), *weights):
            if key not in self._keys:
                self._keys[key] = None
                self.version += 1
        row: list[tuple[tuple[str, object, str | None], int]] = []
        company, avoided, refused = (found.company, found.avoided, found.refused_keys) if found else (0, (), ())
        if company:
            row += [(("near", term.topology_key, labels.get(term.topology_key)), 1) for term in self._near]
        row += [
            (("far", index, labels.get(self._far[index].topology_key)), count)
            for index, count in enumerate(avoided)
            if count
        ]
        row += [(("refused", key, labels.get(key)), 1) for key in refused]
        row += [(("weight", key, labels.get(key)), weight) for key, weight in weights.items()]
        others: list[tuple[Hashable, int]] = [each for each in row if each[0][2] is not None and each[0][1] != HOST]
        if company and any(term.topology_key in labels for term in self._near):
            others.append(("company", 1))
        self._tally.put(state.name, others)
        return tuple([None if key == HOST else labels.get(key) for key in self._keys]), self._host(
            labels, found, weights
        )

    def _quiet(self, state: NodeState) -> Hashable:
        """The cell of a node whose pods ask nothing of the asking pod, which asks nothing of them."""
        labels = state.node.metadata.labels
        self._tally.put(state.name, ())
        return tuple([None if key == HOST else labels.get(key) for key in self._keys]), self._host(labels, None, {})

    def _host(
        self, labels: Mapping[str, str], found: inter_pod.Neighbours | None, weights: Mapping[str, int]
    ) -> tuple[bool, tuple[int, ...], bool, int] | None:
        """(has company, avoided pods per term, is refused, weight); None without the label or where nothing is said."""
        if HOST not in self._keys or HOST not in labels:
            return None
        if found is None:
            return (False, (), False, weights.get(HOST, 0))
        avoided = tuple(index for index, count in enumerate(found.avoided) if count)
        return (found.company > 0, avoided, HOST in found.refused_keys, weights.get(HOST, 0))

    def prepare(self) -> None:
        pod, namespaces = self._asking.pod, self._snapshot.namespaces
        self._is_first = not self._tally.nodes["company"] and all(term.matches(pod, namespaces) for term in self._near)

    def refuses(self, cell: Any) -> bool:
        if not self._is_gating:
            return False
        values, host = dict(zip(self._keys, cell[0], strict=True)), cell[1]
        return (
            not all(self._has_company(term, values, host) for term in self._near)
            or any(self._is_avoided(index, term, values, host) for index, term in enumerate(self._far))
            or (host is not None and host[2])
            or any(self._tally.nodes.get(("refused", key, value)) for key, value in values.items() if value is not None)
        )

    def _has_company(self, term: Term, values: Mapping[str, str | None], host: Any) -> bool:
        if term.topology_key == HOST:
            return host is not None and (self._is_first or host[0])
        value = values[term.topology_key]
        return value is not None and (self._is_first or bool(self._tally.nodes.get(("near", term.topology_key, value))))

    def _is_avoided(self, index: int, term: Term, values: Mapping[str, str | None], host: Any) -> bool:
        if term.topology_key == HOST:
            return host is not None and index in host[1]
        value = values[term.topology_key]
        return value is not None and bool(self._tally.nodes.get(("far", index, value)))

    def scores(self, numbers: Mapping[Any, int]) -> Mapping[Any, int] | None:
        sums, raw = self._tally.sums, {}
        for cell in numbers:
            near = sum(sums.get(("weight", key, value), 0) for key, value in zip(self._keys, cell[0], strict=True))
            raw[cell] = near + (cell[1][3] if cell[1] is not None else 0)
        return inter_pod_score.normalised(raw)
