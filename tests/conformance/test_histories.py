"""The judge of histories.py is right about a good history, and finds each fault put into it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.conformance.histories import Event, History, Seen, check


def good() -> History:
    events = [
        Event("ADDED", "a", 1, "w0.1"),
        Event("ADDED", "b", 2, "w0.2"),
        Event("MODIFIED", "a", 3, "w0.3"),
        Event("MODIFIED", "a", 4, "w1.1"),
        Event("MODIFIED", "b", 5, "w1.2"),
        Event("DELETED", "b", 6, "w1.2"),
        Event("ADDED", "b", 7, "w1.3"),
    ]
    written = [(1, "a", "w0.1"), (2, "b", "w0.2"), (3, "a", "w0.3"), (4, "a", "w1.1"), (7, "b", "w1.3")]
    puts = [Seen(number - 0.5, number, key, number, value) for number, key, value in written]
    return History(
        acknowledged=[*puts, Seen(5.5, 6.0, "b", 5, None)],
        attempted={event.value: event.key for event in events},
        reads=[
            Seen(3.2, 3.4, "a", 3, "w0.3"),
            Seen(4.5, 5.0, "a", 4, "w1.1"),
            Seen(5.1, 5.2, "b", 5, "w1.2"),
            Seen(8.0, 8.1, "b", 7, "w1.3"),
        ],
        watched=[list(events) for _ in range(3)],
    )


def everywhere(change: Callable[[list[Event]], object]) -> Callable[[History], None]:
    def apply(history: History) -> None:
        for events in history.watched:
            change(events)

    return apply


def put(index: int, event: Event) -> Callable[[History], None]:
    return everywhere(lambda events: events.__setitem__(index, event))


def swapped(events: list[Event]) -> None:
    events[1], events[2] = events[2], events[1]


FAULTS: dict[str, tuple[Callable[[History], object], str]] = {
    "a lost write": (everywhere(lambda events: events.pop(3)), "never came by the watch"),
    "a gap in one watch": (lambda h: h.watched[1].pop(2), "different histories"),
    "a read write that no watch has": (everywhere(lambda events: events.pop(4)), "deleted with a value|never came"),
    "an event twice": (everywhere(lambda events: events.insert(2, events[1])), "repeated or reordered"),
    "events out of order": (everywhere(swapped), "repeated or reordered"),
    "a revision twice": (lambda h: h.acknowledged.append(Seen(8, 9, "a", 4, "w1.1")), "given twice"),
    "a stale read": (lambda h: h.reads.append(Seen(5, 5.5, "a", 3, "w0.3")), "behind"),
    "a read behind a read": (
        lambda h: h.reads.extend((Seen(5.3, 5.4, "b", 5, "w1.2"), Seen(5.5, 5.6, "b", 2, "w0.2"))),
        "behind",
    ),
    "a read of an invention": (lambda h: h.reads.append(Seen(9, 9.1, "a", 4, "zz")), "another value"),
    "a read of what was deleted": (lambda h: h.reads.append(Seen(6.1, 6.2, "b", 5, "w1.2")), "deleted before"),
    "an invention": (put(4, Event("MODIFIED", "a", 5, "zz")), "nobody wrote|deleted with"),
    "a write applied twice": (everywhere(lambda e: e.append(Event("MODIFIED", "a", 8, "w1.1"))), "applied twice"),
    "a second beginning": (put(3, Event("ADDED", "a", 4, "w1.1")), "ADDED came"),
    "a change of what is not there": (put(0, Event("MODIFIED", "a", 1, "w0.1")), "MODIFIED came"),
    "another key": (lambda h: h.attempted.__setitem__("w1.1", "c"), "another key"),
    "a revision of the past": (
        lambda h: h.acknowledged.__setitem__(0, replace(h.acknowledged[0], began=8.0, ended=9.0)),
        "acknowledged when it began",
    ),
    "a lost deletion": (lambda h: h.acknowledged.append(Seen(8, 9, "a", 4, None)), "deletion never came"),
}


def test_a_history_in_order_passes() -> None:
    check(good())


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found(fault: str) -> None:
    history = good()
    spoil, sentence = FAULTS[fault]
    spoil(history)
    with pytest.raises(AssertionError, match=sentence):
        check(history)
