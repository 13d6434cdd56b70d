"""What many clients saw of a few keys, and its judge: linearizable keys, watches without gap, repeat or invention.

A resourceVersion names one write, so a history is linearizable when revisions are given once and in the order of time,
nobody reads behind what was acknowledged or read before he began, and every value read is the one of its revision.
Times are monotonic seconds. Pure; test_histories.py shows that each sentence can fail.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer: to a write or a read of `key` that ran from `began` to `ended`. `value` of a deletion is None, and its
    revision the one that it deleted."""

    began: float
    ended: float
    key: str
    revision: int
    value: str | None


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a watch."""

    type: str
    key: str
    revision: int
    value: str


@dataclass
class History:
    """`attempted` has the key of every value that somebody tried to write."""

    acknowledged: list[Seen] = field(default_factory=list)
    attempted: dict[str, str] = field(default_factory=dict)
    reads: list[Seen] = field(default_factory=list)
    watched: list[list[Event]] = field(default_factory=list)

    @property
    def puts(self) -> list[Seen]:
        return [write for write in self.acknowledged if write.value is not None]


def check(history: History) -> None:
    """Raises AssertionError with the sentence that the history breaks."""
    first, *others = history.watched
    assert all(other == first for other in others), "two watches saw different histories"
    revisions = [event.revision for event in first]
    assert revisions == sorted(set(revisions)), "a watch repeated or reordered"
    _check_lives(first)
    _check_events(history, first)
    _check_writes(history, first)
    _check_reads(history, first)


def _check_lives(events: Iterable[Event]) -> None:
    """Per key: ADDED, then MODIFIED, then DELETED with the last value, and over again."""
    for key, of_key in groupby(sorted(events, key=lambda event: (event.key, event.revision)), lambda event: event.key):
        value: str | None = None
        for event in of_key:
            expected = {"ADDED"} if value is None else {"MODIFIED", "DELETED"}
            assert event.type in expected, f"{key}: {event.type} came where {expected} may come"
            assert event.type != "DELETED" or event.value == value, f"{key}: deleted with a value that it did not have"
            value = None if event.type == "DELETED" else event.value


def _check_events(history: History, events: list[Event]) -> None:
    stored = [event for event in events if event.type != "DELETED"]
    values = [event.value for event in stored]
    assert set(values) <= history.attempted.keys(), "a watch showed what nobody wrote"
    assert len(values) == len(set(values)), "one write was applied twice"
    assert all(history.attempted[event.value] == event.key for event in stored), "a value came under another key"


def _check_writes(history: History, events: list[Event]) -> None:
    puts = history.puts
    assert len({write.revision for write in puts}) == len(puts), "a revision was given twice"
    seen = {event.revision: (event.key, event.value) for event in events}
    lost = [write for write in puts if seen.get(write.revision) != (write.key, write.value)]
    assert lost == [], "an acknowledged write never came by the watch"
    for later, earlier in _newest_before(puts, puts):
        assert earlier < later.revision, "a write got a revision before one that was acknowledged when it began"
    by_key: dict[str, list[Event]] = {}
    for event in events:
        by_key.setdefault(event.key, []).append(event)
    for gone in history.acknowledged:
        if gone.value is None:
            of_key = by_key.get(gone.key, [])
            after = bisect_right(of_key, gone.revision, key=lambda event: event.revision)
            is_told = after < len(of_key) and of_key[after].type == "DELETED"
            assert is_told, "an acknowledged deletion never came by the watch"


def _check_reads(history: History, events: list[Event]) -> None:
    seen = {event.revision: (event.key, event.value) for event in events}
    assert all(seen.get(read.revision) == (read.key, read.value) for read in history.reads), (
        "a read showed another value than its revision's"
    )
    for key in {read.key for read in history.reads}:
        reads = [read for read in history.reads if read.key == key]
        puts = [put for put in history.puts if put.key == key]
        for read, newest in _newest_before(puts + reads, reads):
            assert read.revision >= newest, "a read went back behind an acknowledged write or an earlier read"
        deleted = [write for write in history.acknowledged if write.value is None and write.key == key]
        for read, newest in _newest_before(deleted, reads):
            assert read.revision > newest, "a read showed what was deleted before"


def _newest_before(known: list[Seen], asked: list[Seen]) -> Iterator[tuple[Seen, int]]:
    """For each of `asked` the greatest revision of those that had ended when it began, 0 if there was none.

    One sweep over both in the order of time: histories of hundreds of kills have tens of thousands of answers."""
    ended = sorted(known, key=lambda seen: seen.ended)
    newest = at = 0
    for one in sorted(asked, key=lambda seen: seen.began):
        while at < len(ended) and ended[at].ended < one.began:
            newest = max(newest, ended[at].revision)
            at += 1
        yield one, newest
