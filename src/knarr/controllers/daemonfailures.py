"""A daemon pod that failed on its node is replaced; one that fails there again and again, ever later.

Such pods are mostly refused by the kubelet (OutOfcpu), and their number has no bound but this. It is memory, not
truth: after a restart the waits begin anew, as upstream's do. Spec: "DaemonSet", upstream's failedPodsBackoff.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from knarr.base.backoff import Backoff, BackoffRule
from knarr.base.clock import Instant
from knarr.kinds.lens.pod import Pod

RULE: Final = BackoffRule(first=1.0, cap=900.0, reset_after=1800.0)
CAP: Final = timedelta(seconds=RULE.cap)
PODS_MAX: Final = 64
"""Failed pods of one place that wait; one more goes at once."""
PLACES_MAX: Final = 4096
"""Places that are remembered before the quiet ones are forgotten."""

Place = tuple[str, int, str]
"""Uid and generation of the DaemonSet, and the node's name: a new template begins without failures."""


@dataclass(slots=True)
class _Failed:
    """What failed at one place: until when each pod stays, by uid, and how often it happened."""

    due: dict[str, Instant] = field(default_factory=dict)
    backoff: Backoff = Backoff()


@dataclass(slots=True)
class Failures:
    """The failed pods of each place, and when they may go."""

    _at: dict[Place, _Failed] = field(default_factory=dict)

    def due(self, place: Place, pod: Pod, now: Instant) -> Instant:
        """When this failed pod may be deleted: the first of its place at once. Once told it stays, however many pods
        of the place failed meanwhile."""
        failed = self._at.setdefault(place, _Failed())
        known = failed.due.get(pod.metadata.uid)
        if known is not None:
            return known
        failed.due = {uid: due for uid, due in failed.due.items() if due > now - CAP}
        if len(failed.due) >= PODS_MAX:
            return now
        due = min(max(now, failed.backoff.retry_at(RULE) or now), now + CAP)
        failed.due[pod.metadata.uid] = due
        failed.backoff = failed.backoff.failed(due, RULE)
        if len(self._at) > PLACES_MAX:
            self._at = {key: one for key, one in self._at.items() if not _is_quiet(one, now)}
        return due


def _is_quiet(failed: _Failed, now: Instant) -> bool:
    last = failed.backoff.last_failure
    return last is not None and (now - last).total_seconds() > RULE.reset_after
