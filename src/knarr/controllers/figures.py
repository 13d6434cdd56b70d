"""What the controllers' queues counted, by upstream's names (`workqueue_*`), for /metrics."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from knarr.base import exposition
from knarr.controllers.queue import WorkQueue

# Metric's name, its type, its help, its value.
_ROWS: Final[tuple[tuple[str, str, str, Callable[[WorkQueue[Any]], int]], ...]] = (
    ("workqueue_depth", "gauge", "Keys that are due.", lambda queue: queue.depth),
    ("workqueue_adds_total", "counter", "Keys that came due.", lambda queue: queue.figures.added),
    ("workqueue_retries_total", "counter", "Keys tried again after a failure.", lambda queue: queue.figures.retried),
)


def lines(queues: Mapping[str, WorkQueue[Any]]) -> list[str]:
    """The metrics of the queues, by the names of their controllers."""
    made: list[str] = []
    for name, kind, meaning, value_of in _ROWS:
        samples = [(exposition.labels(name=each), value_of(queue)) for each, queue in queues.items()]
        made += exposition.family(name, kind, meaning, samples)
    for name, meaning in (
        ("workqueue_queue_duration_seconds", "Seconds that a key waited for its turn."),
        ("workqueue_work_duration_seconds", "Seconds that a key's work took."),
    ):
        made += exposition.family(name, "histogram", meaning, ())
        for each, queue in queues.items():
            found = queue.figures.waited if "queue_duration" in name else queue.figures.took
            made += found.lines(name, f'name="{each}"')
    return made
