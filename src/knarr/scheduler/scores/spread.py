"""PodTopologySpread: prefer domains that hold fewer pods of the kind (`ScheduleAnyway` constraints).

A domain's count weighs the more the more domains there are; nodes without one of the keys get 0, unless the
constraints are the system's defaults: then the other keys count. Spec: "Pod Topology Spread Constraints".
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

from knarr.scheduler.asking import Asking
from knarr.scheduler.filters import spread
from knarr.scheduler.snapshot import World
from knarr.scheduler.terms import Spread

K = TypeVar("K", bound=Hashable)


def scores(asking: Asking, world: World, fitting: Sequence[str]) -> Mapping[str, int] | None:
    """0…100 per fitting node; None when the pod has no such constraint."""
    spreads = asking.soft_spreads
    if not spreads:
        return None
    labels = {name: world.nodes[name].node.metadata.labels for name in fitting}
    keys = [each.topology_key for each in spreads]
    rated = {
        name: tuple(labels[name].get(key) for key in keys)
        for name in fitting
        if not asking.needs_all_keys or all(key in labels[name] for key in keys)
    }
    counted = spread.totals(asking, spreads, world)
    sizes = [len({values[index] for values in rated.values()}) for index in range(len(spreads))]
    raw = {
        name: rough(
            spreads,
            [None if value is None else each.get(value, 0) for value, each in zip(values, counted, strict=True)],
            sizes,
        )
        for name, values in rated.items()
    }
    return {**dict.fromkeys(fitting, 0), **normalised(raw)}


def rough(spreads: Sequence[Spread], counts: Sequence[int | None], sizes: Sequence[int]) -> int:
    """The sum over the constraints whose key the node has; the less the better."""
    total = 0.0
    for each, count, size in zip(spreads, counts, sizes, strict=True):
        if count is not None:
            total += count * math.log(size + 2) + (each.constraint.max_skew - 1)
    return round(total)


def normalised(raw: Mapping[K, int]) -> dict[K, int]:
    if not raw:
        return {}
    least, most = min(raw.values()), max(raw.values())
    if most == 0:
        return dict.fromkeys(raw, 100)
    return {name: 100 * (most + least - score) // most for name, score in raw.items()}
