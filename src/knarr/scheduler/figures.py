"""What the scheduler counted, by upstream's names (`scheduler_*`), for /metrics."""

import time
from collections import Counter
from collections.abc import Mapping
from typing import Final

from knarr.base import exposition

SCHEDULED, UNSCHEDULABLE, ERROR = "scheduled", "unschedulable", "error"
"""Upstream's results of an attempt."""
SECONDS: Final = (0.0001, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024)


class Figures:
    """Attempts by (profile, result) and how long they took; how often less important pods had to go."""

    def __init__(self) -> None:
        self.attempts: Counter[tuple[str, str]] = Counter()
        self.seconds: dict[tuple[str, str], exposition.Histogram] = {}
        self.preemptions = 0

    def attempted(self, profile: str, result: str, began: float) -> None:
        """One attempt that began at that moment of time.perf_counter."""
        key = (profile, result)
        self.attempts[key] += 1
        if key not in self.seconds:
            self.seconds[key] = exposition.Histogram(SECONDS)
        self.seconds[key].observe(time.perf_counter() - began)

    def lines(self, pending: Mapping[str, int]) -> list[str]:
        """The metrics; `pending` is how many pods wait, by upstream's names of the queues."""
        attempts = [(f"{{{_inner(key)}}}", count) for key, count in sorted(self.attempts.items())]
        waiting = [(exposition.labels(queue=name), count) for name, count in pending.items()]
        made = [
            *exposition.family("scheduler_pending_pods", "gauge", "Pods that wait for a node.", waiting),
            *exposition.family("scheduler_schedule_attempts_total", "counter", "Attempts, by result.", attempts),
            *exposition.family(
                "scheduler_preemption_attempts_total", "counter", "Attempts to make room.", (("", self.preemptions),)
            ),
        ]
        name = "scheduler_scheduling_attempt_duration_seconds"
        made += exposition.family(name, "histogram", "Seconds that a decision took.", ())
        for key, seconds in sorted(self.seconds.items()):
            made += seconds.lines(name, _inner(key))
        return made


def _inner(key: tuple[str, str]) -> str:
    return f'profile="{exposition.escaped(key[0])}",result="{key[1]}"'
