"""RollingUpdate: how far the new set may grow and the old ones shrink, one step at a time.

The new set grows to what surge leaves; old sets give up pods that are not available first, then as many as
maxUnavailable allows. Spec: "Deployments: RollingUpdate".
"""

from knarr.controllers.deployment.picture import Member, Sizes, Wish, by_age


def new_size(wish: Wish, sets: list[Member], new_replicas: int) -> int:
    """The size of the new set now; `sets` are all sets, the new one included once it exists."""
    if not wish.is_rolling:
        return wish.replicas
    if new_replicas > wish.replicas:
        return wish.replicas
    room = wish.total_max - sum(one.replicas for one in sets)
    if room <= 0:
        return new_replicas
    return new_replicas + min(room, wish.replicas - new_replicas)


def step(wish: Wish, new: Member, old: list[Member]) -> Sizes:
    """The next sizes: first the new set's; once it stands as far as it may, the old ones'."""
    size = wish.replicas if new.replicas > wish.replicas else new_size(wish, [new, *old], new.replicas)
    if size != new.replicas:
        return {new.name: size}
    return shrink(wish, new, old)


def shrink(wish: Wish, new: Member, old: list[Member]) -> Sizes:
    """The old sets' next sizes. While a set's status is older than its size, nothing is given up: a set that went
    down and up again would count pods that it has lost."""
    if not all(one.is_observed for one in (new, *old)):
        return {}
    total = new.replicas + sum(one.replicas for one in old)
    spare = total - wish.available_min - (new.replicas - new.available)
    if spare <= 0:
        return {}
    sizes: Sizes = {}
    ordered = by_age(old)
    for one in ordered:  # Pods that are not available cost nothing.
        sick = min(one.replicas - one.available, spare)
        if sick > 0:
            sizes[one.name] = one.replicas - sick
            spare -= sick
    surplus = min(spare, new.available + sum(one.available for one in old) - wish.available_min)
    for one in ordered:
        left = sizes.get(one.name, one.replicas)
        taken = min(left, surplus)
        if taken > 0:
            sizes[one.name] = left - taken
            surplus -= taken
    return sizes
