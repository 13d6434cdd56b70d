"""Which writes are committed in the loop's own thread."""

from knarr.store import pace
from knarr.store.pace import Pace


def settled() -> Pace:
    """A pace that has seen enough lone writes."""
    made = Pace()
    while not made.is_alone(1, others=False):
        pass
    return made


def test_a_write_is_alone_after_enough_lone_ones() -> None:
    made = Pace()
    answers = [made.is_alone(1, others=False) for _ in range(pace.ALONE_AFTER + 2)]
    assert answers == [False] * pace.ALONE_AFTER + [True, True]


def test_company_makes_the_next_ones_wait_again() -> None:
    made = settled()
    assert not made.is_alone(1, others=True)
    assert [made.is_alone(1, others=False) for _ in range(pace.ALONE_AFTER + 1)] == [False] * pace.ALONE_AFTER + [True]


def test_the_slower_a_commit_was_the_longer_the_journals_thread_takes_over() -> None:
    for times in (2, 50):
        made, rest = settled(), pace.SLOW_REST * times
        made.took(pace.SLOW_SECONDS * times * 1.01)
        assert [made.is_alone(1, others=False) for _ in range(rest + 1)] == [False] * rest + [True]


def test_company_does_not_shorten_the_rest_after_a_slow_commit() -> None:
    made = settled()
    made.took(pace.SLOW_SECONDS * 2.01)
    made.is_alone(1, others=True)
    assert not any(made.is_alone(1, others=False) for _ in range(2 * pace.SLOW_REST))


def test_a_large_value_goes_to_the_journals_thread() -> None:
    made = settled()
    assert [made.is_alone(size, others=False) for size in (pace.BYTES_MAX + 1, pace.BYTES_MAX)] == [False, True]
