"""Exponential back-off as a value: the delay grows by a factor to a cap and is forgotten after a quiet time."""

from dataclasses import dataclass, replace
from datetime import timedelta

from knarr.base.clock import Instant


@dataclass(frozen=True, slots=True)
class BackoffRule:
    """`first` and `cap` in seconds; a thing that was quiet for `reset_after` seconds starts over."""

    first: float
    cap: float
    factor: float = 2.0
    reset_after: float = float("inf")


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often something failed, and when last."""

    failures: int = 0
    last_failure: Instant | None = None

    def failed(self, now: Instant, rule: BackoffRule) -> "Backoff":
        quiet = self.last_failure is not None and (now - self.last_failure).total_seconds() >= rule.reset_after
        return replace(self, failures=1 if quiet else self.failures + 1, last_failure=now)

    def delay(self, rule: BackoffRule) -> float:
        """Seconds to wait after the last failure; 0 without one."""
        if self.failures == 0:
            return 0.0
        return min(rule.cap, rule.first * rule.factor ** min(self.failures - 1, 64))

    def retry_at(self, rule: BackoffRule) -> Instant | None:
        """When the next try is due; None without a failure."""
        if self.last_failure is None:
            return None
        return self.last_failure + timedelta(seconds=self.delay(rule))
