"""What the last attempts of a pod's probes said, kept so that `knarr why` can show the time line.

Bounded: so many attempts of each probe, each with the head of its output. It outlives restarts of a container, since
what went before one is why it happened; a new kubelet begins a new one. Decides nothing.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

from knarr.base.clock import Instant, rfc3339_micro
from knarr.kubelet.probes.result import Result
from knarr.kubelet.probes.state import ProbeKind

ATTEMPTS_MAX = 20
OUTPUT_MAX = 200
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Attempt:
    at: Instant
    seconds: float
    outcome: Literal["success", "failure", "error"]
    output: str


@dataclass(slots=True)
class History:
    """Attempts by (container, probe), the oldest first."""

    _attempts: dict[tuple[str, ProbeKind], deque[Attempt]] = field(default_factory=dict)

    def add(self, container: str, kind: ProbeKind, result: Result, began: Instant, ended: Instant) -> None:
        outcome: Literal["success", "failure", "error"] = "success" if result.is_success else "failure"
        if result.is_error:
            outcome = "error"
        attempts = self._attempts.get((container, kind))
        if attempts is None:
            attempts = self._attempts[container, kind] = deque(maxlen=ATTEMPTS_MAX)
        # Of a success nobody asks what it said.
        output = "" if result.is_success else result.output.strip()[:OUTPUT_MAX]
        attempts.append(Attempt(began, max(0.0, (ended - began).total_seconds()), outcome, output))

    def shown(self) -> list[Json]:
        """All attempts as JSON, in the order of time."""
        found = [
            {
                "time": rfc3339_micro(one.at),
                "container": container,
                "probe": kind,
                "result": one.outcome,
                "seconds": round(one.seconds, 4),
                "output": one.output,
            }
            for (container, kind), attempts in self._attempts.items()
            for one in attempts
        ]
        return sorted(found, key=lambda one: str(one["time"]))
