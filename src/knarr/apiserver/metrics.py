"""Metrics of the API server in Prometheus' text form, by upstream's names: requests, their time, objects, the process.

Counting is one dictionary look-up and a few additions per request; the text is made when it is asked for.
Vocabulary: a *series* is what requests of one kind share: verb, resource, subresource, scope, dry run.
Spec: "Kubernetes Metrics Reference". Not here: metrics of other parts, which come as lines.
"""

import resource as limits
import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Resource

BUCKETS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds: this server answers in parts of a millisecond, upstream's first bucket is 5 ms."""
# Verb of a route → the word that upstream's dashboards ask for.
WORDS: Final = {"create": "POST", "update": "PUT", "": "OTHER"}
APPLY: Final = "application/apply-patch+yaml"
REQUESTS: Final = "apiserver_request_total"
SECONDS: Final = "apiserver_request_duration_seconds"


class Key(NamedTuple):
    """What the requests of a series share; without a resource it is a path that is none, or none that is served."""

    verb: str
    resource: Resource | None = None
    subresource: str = ""
    scope: str = ""
    dry_run: str = ""


_Plain = tuple[str, Resource | None, str, str, str]
"""A Key as a plain tuple, which equals it: every request looks one up."""


class Series:
    """Answers by code, and how many took how long."""

    __slots__ = ("buckets", "codes", "seconds")

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        self._series: dict[_Plain, Series] = {}
        self.started = time.time()

    def count(self, context: RequestContext | None, code: int, seconds: float) -> None:
        """Count one answered request; a watch counts when it begins."""
        key = _key(context)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = Series()
        series.codes[code] = series.codes.get(code, 0) + 1
        series.buckets[bisect_left(BUCKETS, seconds)] += 1
        series.seconds += seconds

    def text(self, revision: int, objects: Iterable[tuple[Resource, int]], further: Sequence[str] = ()) -> bytes:
        """All metrics now: with how many objects each resource has, and the further lines of other parts."""
        shown = sorted((_labels(Key(*key)), series) for key, series in self._series.items())
        lines = [
            f"# HELP {REQUESTS} Requests answered, by code.",
            f"# TYPE {REQUESTS} counter",
            *(f'{REQUESTS}{{code="{code}",{labels}}} {n}' for labels, each in shown for code, n in each.codes.items()),
            f"# HELP {SECONDS} Seconds from a request to its answer.",
            f"# TYPE {SECONDS} histogram",
        ]
        for labels, series in shown:
            lines += _histogram(labels, series)
        lines += _object_lines(objects)
        return ("\n".join([*lines, *_process_lines(self.started, revision), *further]) + "\n").encode()


def _key(context: RequestContext | None) -> _Plain:
    if context is None:
        return ("OTHER", None, "", "", "")
    route = context.route
    if route.resource is None:
        return (route.verb, None, "", "", "")
    verb = route.verb
    if verb == "patch" and context.media == APPLY:
        verb = "apply"
    scope = "resource" if route.name or verb == "create" else "namespace" if route.namespace else "cluster"
    return (verb, route.resource, route.subresource, scope, "All" if context.query.get("dryRun") else "")


def _labels(key: Key) -> str:
    kind = key.resource.kind if key.resource is not None else None
    group, version, plural = (kind.group, kind.version, kind.plural) if kind is not None else ("", "", "")
    component = "apiserver" if kind is not None else ""
    return (
        f'component="{component}",dry_run="{key.dry_run}",group="{group}",resource="{plural}",scope="{key.scope}",'
        f'subresource="{key.subresource}",verb="{WORDS.get(key.verb, key.verb.upper())}",version="{version}"'
    )


def _histogram(labels: str, series: Series) -> list[str]:
    lines, count = [], 0
    for bound, within in zip((*map(str, BUCKETS), "+Inf"), series.buckets, strict=True):
        count += within
        lines.append(f'{SECONDS}_bucket{{{labels},le="{bound}"}} {count}')
    return [*lines, f"{SECONDS}_sum{{{labels}}} {series.seconds:.6f}", f"{SECONDS}_count{{{labels}}} {count}"]


def _object_lines(objects: Iterable[tuple[Resource, int]]) -> list[str]:
    counted = sorted((resource.group, resource.plural, resource.qualified, count) for resource, count in objects)
    return [
        "# HELP apiserver_resource_objects Objects stored, by resource.",
        "# TYPE apiserver_resource_objects gauge",
        *(f'apiserver_resource_objects{{group="{g}",resource="{plural}"}} {n}' for g, plural, _, n in counted),
        "# HELP apiserver_storage_objects Objects stored, by qualified resource.",
        "# TYPE apiserver_storage_objects gauge",
        *(f'apiserver_storage_objects{{resource="{qualified}"}} {n}' for _, _, qualified, n in counted),
    ]


def _process_lines(started: float, revision: int) -> list[str]:
    usage = limits.getrusage(limits.RUSAGE_SELF)
    return [
        "# TYPE knarr_store_revision gauge",
        f"knarr_store_revision {revision}",
        "# TYPE process_cpu_seconds_total counter",
        f"process_cpu_seconds_total {usage.ru_utime + usage.ru_stime:.3f}",
        "# TYPE process_start_time_seconds gauge",
        f"process_start_time_seconds {started:.3f}",
        "# TYPE process_resident_memory_bytes gauge",
        f"process_resident_memory_bytes {_resident()}",
    ]


def _resident() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * limits.getpagesize()
