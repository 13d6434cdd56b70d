"""What the gate counts, and how /metrics shows it by upstream's names: by flow schema and priority level."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from knarr.apiserver.fairness.levels import Level
from knarr.base import exposition

PREFIX: Final = "apiserver_flowcontrol_"
WAITS: Final = (0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0)
"""Upstream's bounds, in seconds."""
QUEUE_FULL, TIME_OUT, CONCURRENCY = "queue-full", "time-out", "concurrency-limit"
"""Upstream's reasons of a refusal."""


@dataclass(slots=True, eq=False)
class Tally:
    """What happened to the requests of one schema in one level. `waits` are of those that had to."""

    schema: str
    level: str
    executing: int = 0
    waiting: int = 0
    dispatched: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    waits: exposition.Histogram = field(default_factory=lambda: exposition.Histogram(WAITS))

    @property
    def inner(self) -> str:
        return f'flow_schema="{self.schema}",priority_level="{self.level}"'


# Metric's name, its type, its help, its value.
_BY_SCHEMA: Final[tuple[tuple[str, str, str, Callable[[Tally], int]], ...]] = (
    ("current_executing_requests", "gauge", "Requests being served.", lambda tally: tally.executing),
    ("current_executing_seats", "gauge", "Seats taken; each request takes one.", lambda tally: tally.executing),
    ("current_inqueue_requests", "gauge", "Requests that wait for a turn.", lambda tally: tally.waiting),
    ("dispatched_requests_total", "counter", "Requests that had their turn.", lambda tally: tally.dispatched),
)
_BY_LEVEL: Final[tuple[tuple[str, str, Callable[[Level[Any]], float]], ...]] = (
    ("nominal_limit_seats", "Seats by the shares alone.", lambda level: level.seats),
    ("current_limit_seats", "Seats now.", lambda level: level.seats),
    ("lower_limit_seats", "Seats that stay when all is lent.", lambda level: level.seats - level.lendable),
    ("upper_limit_seats", "Seats when all is borrowed.", lambda level: level.seats + min(level.borrowable, 1 << 20)),
)


def lines(tallies: Iterable[Tally], levels: Iterable[Level[Any]]) -> list[str]:
    """The metrics of levels and schemas as they are now."""
    found = sorted(tallies, key=lambda tally: (tally.level, tally.schema))
    made: list[str] = []
    for name, kind, meaning, value_of in _BY_SCHEMA:
        made += exposition.family(
            PREFIX + name, kind, meaning, [(f"{{{tally.inner}}}", value_of(tally)) for tally in found]
        )
    refused = [
        (f'{{{tally.inner},reason="{reason}"}}', count)
        for tally in found
        for reason, count in sorted(tally.rejected.items())
    ]
    made += exposition.family(f"{PREFIX}rejected_requests_total", "counter", "Requests refused with 429.", refused)
    waits = f"{PREFIX}request_wait_duration_seconds"
    made += exposition.family(waits, "histogram", "Seconds that a request waited for its turn.", ())
    for tally in found:
        at_once = tally.dispatched - sum(tally.waits.counts)
        counts = [tally.waits.counts[0] + max(0, at_once), *tally.waits.counts[1:]]
        made += exposition.histogram(waits, f'execute="true",{tally.inner}', WAITS, counts, tally.waits.total)
    limited = [level for level in levels if not level.is_exempt]
    for name, meaning, seats_of in _BY_LEVEL:
        shown = [(f'{{priority_level="{level.name}"}}', seats_of(level)) for level in limited]
        made += exposition.family(PREFIX + name, "gauge", meaning, shown)
    return made
