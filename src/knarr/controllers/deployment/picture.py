"""What a Deployment's plan reasons about: the wish (replicas, surge, unavailable) and its sets as plain numbers.

Rounding is the documented one: surge up, unavailable down, never both 0. Not here: what to do about it (rolling.py,
recreate.py, scaling.py). Spec: "Deployments: rolling update".
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from knarr.base.clock import Instant
from knarr.kinds.lens.apps import Deployment, ReplicaSet

DESIRED: Final = "deployment.kubernetes.io/desired-replicas"
MAX: Final = "deployment.kubernetes.io/max-replicas"
REVISION: Final = "deployment.kubernetes.io/revision"
REVISION_HISTORY: Final = "deployment.kubernetes.io/revision-history"
DIGITS_MAX = 19
"""More never fit 64 bits; from 4,300 on int() itself refuses."""

Sizes = dict[str, int]
"""Name of a set → the replicas it should have; sets that keep theirs may be absent."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the spec wants, percentages resolved."""

    replicas: int
    surge: int
    unavailable: int
    is_rolling: bool

    @property
    def total_max(self) -> int:
        return self.replicas + self.surge

    @property
    def available_min(self) -> int:
        return self.replicas - self.unavailable


@dataclass(frozen=True, slots=True)
class Member:
    """One ReplicaSet in numbers. `desired` and `total_max` are what its Deployment wanted when it was last sized;
    `is_observed` says that its status speaks of its present size."""

    name: str
    replicas: int
    available: int
    created: Instant | None
    desired: int | None = None
    total_max: int | None = None
    is_observed: bool = True


def wish(deployment: Deployment) -> Wish:
    """The spec's numbers."""
    spec = deployment.spec
    replicas = 1 if spec.replicas is None else spec.replicas
    if spec.strategy.type == "Recreate":
        return Wish(replicas, surge=0, unavailable=0, is_rolling=False)
    rolling = spec.strategy.rolling_update
    surge = _scaled(rolling.max_surge if rolling else None, replicas, math.ceil)
    unavailable = _scaled(rolling.max_unavailable if rolling else None, replicas, math.floor)
    if surge == 0 and unavailable == 0:
        unavailable = 1  # Otherwise nothing could ever move.
    return Wish(replicas, surge, min(unavailable, replicas), is_rolling=True)


def member(replica_set: ReplicaSet) -> Member:
    """A set's numbers. One that was sized down has no more available pods than its size, whatever it last reported."""
    replicas = size(replica_set)
    return Member(
        replica_set.metadata.name,
        replicas,
        min(replica_set.status.available_replicas, replicas),
        replica_set.metadata.creation_timestamp,
        number(replica_set, DESIRED),
        number(replica_set, MAX),
        replica_set.status.observed_generation >= replica_set.metadata.generation,
    )


def size(replica_set: ReplicaSet) -> int:
    return 1 if replica_set.spec.replicas is None else replica_set.spec.replicas


def number(replica_set: ReplicaSet, annotation: str) -> int | None:
    """An annotation as a number; None where it is absent, no number, or more than 64 bits hold."""
    text = replica_set.metadata.annotations.get(annotation, "")
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX):
        return None
    found = int(text)
    return found if found < 1 << 63 else None


def revision(replica_set: ReplicaSet) -> int:
    return number(replica_set, REVISION) or 0


def by_age(members: list[Member]) -> list[Member]:
    """Oldest first, then by name."""
    return sorted(members, key=lambda one: (one.created is None, one.created or 0, one.name))


def _scaled(value: int | str | None, replicas: int, rounded: Callable[[float], int]) -> int:
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    percent = int(value.removesuffix("%"))
    return rounded(replicas * percent / 100)
