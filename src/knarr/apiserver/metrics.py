"""Metrics of the API server in Prometheus' text form: requests by verb, resource and code, their time, the store.

Counting is one dictionary look-up and a few additions per request; the text is made when it is asked for.
"""

import resource as limits
import time
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from knarr.apiserver.routes import Route

BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: this server answers in parts of a millisecond, upstream's first bucket is 5 ms."""
Labels = tuple[str, str, str, int]


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        self._requests: dict[Labels, int] = {}
        self._times: dict[str, list[int]] = {}
        self._sums: dict[str, float] = {}
        self.started = time.time()

    def count(self, route: Route | None, code: int, seconds: float) -> None:
        """Count one answered request; a watch counts when it begins."""
        if route is None or route.resource is None:
            verb, plural, sub = "other", "", ""
        else:
            verb, plural, sub = route.verb or "other", route.resource.plural, route.subresource
        labels = (verb, plural, sub, code)
        self._requests[labels] = self._requests.get(labels, 0) + 1
        buckets = self._times.get(verb)
        if buckets is None:
            buckets = self._times[verb] = [0] * (len(BUCKETS) + 1)
            self._sums[verb] = 0.0
        buckets[bisect_left(BUCKETS, seconds)] += 1
        self._sums[verb] += seconds

    def text(self, revision: int, further: Sequence[str] = ()) -> bytes:
        """All metrics now, and the further lines of other parts."""
        lines = ["# TYPE apiserver_request_total counter"]
        for (verb, plural, sub, code), count in sorted(self._requests.items()):
            labels = f'code="{code}",resource="{plural}",subresource="{sub}",verb="{verb.upper()}"'
            lines.append(f"apiserver_request_total{{{labels}}} {count}")
        lines.append("# TYPE apiserver_request_duration_seconds histogram")
        for verb, buckets in sorted(self._times.items()):
            lines += self._histogram(verb.upper(), buckets, self._sums[verb])
        usage = limits.getrusage(limits.RUSAGE_SELF)
        lines += [
            "# TYPE knarr_store_revision gauge",
            f"knarr_store_revision {revision}",
            "# TYPE process_cpu_seconds_total counter",
            f"process_cpu_seconds_total {usage.ru_utime + usage.ru_stime:.3f}",
            "# TYPE process_start_time_seconds gauge",
            f"process_start_time_seconds {self.started:.3f}",
            "# TYPE process_resident_memory_bytes gauge",
            f"process_resident_memory_bytes {_resident()}",
            *further,
        ]
        return ("\n".join(lines) + "\n").encode()

    def _histogram(self, verb: str, buckets: list[int], total: float) -> list[str]:
        name, lines, count = "apiserver_request_duration_seconds", [], 0
        for bound, within in zip((*map(str, BUCKETS), "+Inf"), buckets, strict=True):
            count += within
            lines.append(f'{name}_bucket{{verb="{verb}",le="{bound}"}} {count}')
        return [*lines, f'{name}_sum{{verb="{verb}"}} {total:.6f}', f'{name}_count{{verb="{verb}"}} {count}']


def _resident() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * limits.getpagesize()
