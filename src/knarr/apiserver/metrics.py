"""Metrics of the API server by upstream's names: requests, their time, what runs, what is stored.

Counting is one dictionary look-up and a few additions per request; the text is made when it is asked for.
Vocabulary: a *series* is what requests of one kind share: verb, resource, subresource, scope, dry run.
Spec: "Kubernetes Metrics Reference". Not here: metrics of other parts, which come as lines.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Resource
from knarr.base import exposition
from knarr.wire import http

BUCKETS: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0,
    8.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0,
)  # fmt: skip
"""Seconds: upstream's bounds, which dashboards name, and four below them: this server answers in less than 5 ms."""
# Verb of a route → the word that upstream's dashboards ask for.
WORDS: Final = {"create": "POST", "update": "PUT", "": "OTHER"}
APPLY: Final = "application/apply-patch+yaml"
REQUESTS: Final = "apiserver_request_total"
SECONDS: Final = "apiserver_request_duration_seconds"
INDICATOR: Final = "apiserver_request_sli_duration_seconds"
MUTATING: Final = frozenset(("POST", "PUT", "PATCH", "DELETE"))
PLAIN: Final = frozenset(("get", "head", "post", "put", "patch", "delete", "options"))
UNTIMED: Final = frozenset(("WATCH", "CONNECT"))


class Key(NamedTuple):
    """What the requests of a series share; without a resource it is a path that is none, or none that is served."""

    verb: str
    resource: Resource | None = None
    subresource: str = ""
    scope: str = ""
    dry_run: str = ""


class Series:
    """Answers by code, and how many took how long."""

    __slots__ = ("buckets", "codes", "seconds")

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0


class Metrics:
    """Counters of one server. `inflight` counts reading and mutating requests, by False and True."""

    def __init__(self) -> None:
        self._series: dict[Key, Series] = {}
        self.inflight = [0, 0]
        self.running: Counter[Key] = Counter()
        self.watch_events: Counter[Resource] = Counter()

    def count(self, context: RequestContext | None, code: int, seconds: float) -> None:
        """Count one answered request; a watch counts when it begins."""
        key = key_of(context)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = Series()
        series.codes[code] = series.codes.get(code, 0) + 1
        series.buckets[bisect_left(BUCKETS, seconds)] += 1
        series.seconds += seconds

    def followed(self, context: RequestContext, response: http.Response) -> None:
        """Count an answer that goes on, such as a followed log or a command's streams, until it is over."""
        key = key_of(context)
        if response.upgrade is not None:
            response.upgrade = self._upgraded(key, response.upgrade)
        elif not isinstance(response.body, bytes):
            self.running[key] += 1
            response.body = http.Followed(response.body, lambda: self._ended(key))

    def _upgraded(self, key: Key, run: http.Upgraded) -> http.Upgraded:
        async def counted(connection: http.Connection) -> None:
            self.running[key] += 1
            try:
                await run(connection)
            finally:
                self.running[key] -= 1

        return counted

    def _ended(self, key: Key) -> None:
        self.running[key] -= 1

    def text(self, revision: int, objects: Iterable[tuple[Resource, int]], further: Sequence[str] = ()) -> bytes:
        """All metrics now: with how many objects each resource has, and the further lines of other parts."""
        shown = sorted((_labels(key), key, series) for key, series in self._series.items())
        lines = exposition.family(
            REQUESTS,
            "counter",
            "Requests answered, by code.",
            (
                (f'{{code="{code}",{labels}}}', n)
                for labels, _, series in shown
                for code, n in sorted(series.codes.items())
            ),
        )
        lines += exposition.family(SECONDS, "histogram", "Seconds from a request to its answer.", ())
        for labels, _, series in shown:
            lines += exposition.histogram(SECONDS, labels, BUCKETS, series.buckets, series.seconds)
        lines += _indicators(self._series)
        lines += self._running_lines()
        lines += _object_lines(objects)
        lines += exposition.family("knarr_store_revision", "gauge", "The store's last revision.", (("", revision),))
        return ("\n".join([*lines, *exposition.own_figures(), *further]) + "\n").encode()

    def _running_lines(self) -> list[str]:
        inflight = ((f'{{request_kind="{name}"}}', n) for name, n in zip(KINDS, self.inflight, strict=True))
        summed: Counter[str] = Counter()
        for key, n in self.running.items():
            summed[_labels(key, is_short=True)] += n  # whatever the dry run
        running = (("{" + labels + "}", n) for labels, n in sorted(summed.items()))
        events = (
            (exposition.labels(group=each.kind.group, version=each.kind.version, resource=each.kind.plural), n)
            for each, n in sorted(self.watch_events.items(), key=lambda item: item[0].qualified)
        )
        return [
            *exposition.family("apiserver_current_inflight_requests", "gauge", "Requests being answered.", inflight),
            *exposition.family(
                "apiserver_longrunning_requests", "gauge", "Watches, followed logs and streams that run.", running
            ),
            *exposition.family("apiserver_watch_events_total", "counter", "Events sent to watchers.", events),
        ]


KINDS: Final = ("readOnly", "mutating")


def key_of(context: RequestContext | None) -> Key:
    """The series of a request."""
    if context is None:
        return Key("OTHER")
    route = context.route
    if route.resource is None:
        return Key(route.verb if route.verb in PLAIN else "OTHER")  # a client may make methods up
    verb = route.verb
    if verb == "patch" and context.media == APPLY:
        verb = "apply"
    elif route.subresource and _is_connecting(route.resource, route.subresource):
        verb = "connect"
    scope = "resource" if route.name or verb == "create" else "namespace" if route.namespace else "cluster"
    dry_run = "All" if context.query.get("dryRun") else ""
    # Past the constructor of the named tuple, which costs three times as much: every request makes one.
    return tuple.__new__(Key, (verb, route.resource, route.subresource, scope, dry_run))


def _is_connecting(resource: Resource, subresource: str) -> bool:
    found = resource.kind.subresources.get(subresource)
    return found is not None and bool(found.facts.get("connect"))


def _labels(key: Key, *, is_short: bool = False) -> str:
    """A series' labels; in short without what a dry run has no part in."""
    kind = key.resource.kind if key.resource is not None else None
    group, version, plural = (kind.group, kind.version, kind.plural) if kind is not None else ("", "", "")
    component = "apiserver" if kind is not None else ""
    dry_run = "" if is_short else f'dry_run="{key.dry_run}",'
    return (
        f'component="{component}",{dry_run}group="{group}",resource="{plural}",scope="{key.scope}",'
        f'subresource="{key.subresource}",verb="{_word(key)}",version="{version}"'
    )


def _word(key: Key) -> str:
    return WORDS.get(key.verb, key.verb.upper())


def _indicators(series: dict[Key, Series]) -> list[str]:
    """The service level indicator: the same times without watches and streams, and whatever the dry run."""
    summed: dict[str, tuple[list[int], float]] = {}
    for key, each in series.items():
        if _word(key) not in UNTIMED:
            labels = _labels(key, is_short=True)
            buckets, seconds = summed.get(labels, ([0] * len(each.buckets), 0.0))
            both = [a + b for a, b in zip(buckets, each.buckets, strict=True)]
            summed[labels] = (both, seconds + each.seconds)
    lines = exposition.family(INDICATOR, "histogram", "Seconds from a request to its answer, as objectives count.", ())
    for labels, (buckets, seconds) in sorted(summed.items()):
        lines += exposition.histogram(INDICATOR, labels, BUCKETS, buckets, seconds)
    return lines


def _object_lines(objects: Iterable[tuple[Resource, int]]) -> list[str]:
    counted = sorted((resource.group, resource.plural, resource.qualified, count) for resource, count in objects)
    return [
        *exposition.family(
            "apiserver_resource_objects",
            "gauge",
            "Objects stored, by resource.",
            ((f'{{group="{group}",resource="{plural}"}}', n) for group, plural, _, n in counted),
        ),
        *exposition.family(
            "apiserver_storage_objects",
            "gauge",
            "Objects stored, by qualified resource.",
            ((f'{{resource="{qualified}"}}', n) for _, _, qualified, n in counted),
        ),
    ]
