"""How many events one pod may cause: a burst, then one every five minutes, as upstream's recorder allows per object.

Pure. A probe that fails every second would otherwise write to the API every second, for ever.
"""

from dataclasses import dataclass

from knarr.base.clock import Instant

BURST = 25
REFILL_SECONDS = 300.0


@dataclass(frozen=True, slots=True)
class Budget:
    """`left` events as of `at`."""

    left: float = BURST
    at: Instant | None = None


def spend(budget: Budget, now: Instant) -> Budget | None:
    """The budget after one more event; None if there is none left for it."""
    elapsed = (now - budget.at).total_seconds() if budget.at is not None else 0.0
    left = min(BURST, budget.left + max(0.0, elapsed) / REFILL_SECONDS)
    return Budget(left - 1, now) if left >= 1 else None
