"""A daemon pod that failed on its node is replaced; one that fails there again and again, ever later.

Such pods are mostly refused by the kubelet (OutOfcpu), and their number has no bound but this. It is memory, not
truth: after a restart the waits begin anew, as upstream's do. Spec: "DaemonSet", upstream's failedPodsBackoff.
"""

from dataclasses import dataclass, field
from typing import Final

from knarr.base.backoff import Backoff, BackoffRule
from knarr.base.clock import Instant
from knarr.kinds.lens.pod import Pod

RULE: Final = BackoffRule(first=1.0, cap=900.0, reset_after=1800.0)
PLACES_MAX: Final = 4096
"""Places that are remembered before the quiet ones are forgotten."""

Place = tuple[str, int, str]
"""Uid and generation of the DaemonSet, and the node's name: a new template begins without failures."""


@dataclass(frozen=True, slots=True)
class _Failure:
    pod_uid: str
    due: Instant
    backoff: Backoff


@dataclass(slots=True)
class Failures:
    """The last failed pod of each place, and when it may go."""

    _last: dict[Place, _Failure] = field(default_factory=dict)

    def due(self, place: Place, pod: Pod, now: Instant) -> Instant:
        """When this failed pod may be deleted: the first of its place at once."""
        last = self._last.get(place)
        if last is not None and last.pod_uid == pod.metadata.uid:
            return last.due
        before = last.backoff if last is not None else Backoff()
        due = max(now, before.retry_at(RULE) or now)
        self._last[place] = _Failure(pod.metadata.uid, due, before.failed(due, RULE))
        if len(self._last) > PLACES_MAX:
            self._last = {key: one for key, one in self._last.items() if not _is_quiet(one, now)}
        return due


def _is_quiet(failure: _Failure, now: Instant) -> bool:
    return (now - failure.due).total_seconds() > RULE.reset_after
