"""Scaling: a changed spec.replicas is shared among the sets in proportion to their sizes, so that a half-done rollout
stays half-done. Spec: "Deployments: proportional scaling".
"""

from knarr.base.clock import Instant
from knarr.controllers.deployment.picture import Member, Sizes, Wish


def is_scaling(wish: Wish, sets: list[Member]) -> bool:
    """Whether some active set was sized for another number of replicas than the spec has now."""
    return any(one.desired is not None and one.desired != wish.replicas for one in sets if one.replicas > 0)


def sizes(wish: Wish, new: Member | None, old: list[Member], status_replicas: int) -> Sizes:
    """What every set should have."""
    every = [*old, new] if new is not None else list(old)
    active = [one for one in every if one.replicas > 0]
    if len(active) <= 1:
        only = active[0] if active else new or _newest(old)
        return {only.name: wish.replicas} if only is not None else {}
    if new is not None and _is_saturated(wish, new):
        return {one.name: 0 for one in old if one.replicas > 0}
    if not wish.is_rolling:
        return {}
    return _shared(wish, active, status_replicas)


def _newest(old: list[Member]) -> Member | None:
    return max(old, key=_age, default=None)


def _age(one: Member) -> tuple[bool, Instant | int, str]:
    return one.created is not None, one.created or 0, one.name


def _is_saturated(wish: Wish, new: Member) -> bool:
    return new.desired == wish.replicas == new.replicas == new.available


def _shared(wish: Wish, active: list[Member], status_replicas: int) -> Sizes:
    """To grow, the largest and newest come first; to shrink, the largest and oldest. The first takes what rounding
    leaves."""
    to_add = (wish.total_max if wish.replicas > 0 else 0) - sum(one.replicas for one in active)
    ordered = sorted(active, key=_age, reverse=to_add > 0)
    ordered.sort(key=lambda one: -one.replicas)
    added = 0
    result: Sizes = {}
    for one in ordered:
        share = _share(wish, one, to_add - added, status_replicas) if to_add else 0
        result[one.name] = one.replicas + share
        added += share
    first = ordered[0].name
    result[first] = max(0, result[first] + to_add - added)
    return result


def _share(wish: Wish, one: Member, left: int, status_replicas: int) -> int:
    if not one.replicas or not left:
        return 0
    before = one.total_max or status_replicas
    if wish.replicas == 0:
        fraction = -one.replicas
    elif not before:
        fraction = 0
    else:
        fraction = _rounded(one.replicas * wish.total_max / before) - one.replicas
    return min(fraction, left) if left > 0 else max(fraction, left)


def _rounded(number: float) -> int:
    """Half away from zero, as the specification's arithmetic does."""
    return int(number + 0.5) if number >= 0 else int(number - 0.5)
