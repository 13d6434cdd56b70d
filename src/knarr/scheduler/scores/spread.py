"""PodTopologySpread: prefer domains that hold fewer pods of the kind (`ScheduleAnyway` constraints).

A domain's count weighs the more the more domains there are; nodes without one of the keys get 0.
Spec: "Pod Topology Spread Constraints".
"""

import math
from collections.abc import Mapping, Sequence

from knarr.scheduler.asking import Asking
from knarr.scheduler.filters import spread
from knarr.scheduler.snapshot import World


def scores(asking: Asking, world: World, fitting: Sequence[str]) -> Mapping[str, int] | None:
    """0…100 per fitting node; None when the pod has no such constraint."""
    spreads = asking.soft_spreads
    if not spreads:
        return None
    labels = {name: world.nodes[name].node.metadata.labels for name in fitting}
    rated = [name for name in fitting if all(each.topology_key in labels[name] for each in spreads)]
    raw = dict.fromkeys(rated, 0.0)
    for each, counts in zip(spreads, spread.totals(asking, spreads, world), strict=True):
        sizes = {labels[name][each.topology_key] for name in rated}
        weight = math.log(len(sizes) + 2)
        for name in rated:
            raw[name] += counts.get(labels[name][each.topology_key], 0) * weight + (each.constraint.max_skew - 1)
    return {**dict.fromkeys(fitting, 0), **_normalised({name: round(score) for name, score in raw.items()})}


def _normalised(raw: Mapping[str, int]) -> Mapping[str, int]:
    if not raw:
        return {}
    least, most = min(raw.values()), max(raw.values())
    if most == 0:
        return dict.fromkeys(raw, 100)
    return {name: 100 * (most + least - score) // most for name, score in raw.items()}
