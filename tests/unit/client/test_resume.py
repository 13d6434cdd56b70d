"""What a reflector does after a list or watch ended."""

from datetime import UTC, datetime

from knarr.base.backoff import Backoff
from knarr.base.errors import Expired, NotFound, Unavailable
from knarr.client import resume

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def test_a_watch_that_ended_in_order_goes_on_at_once() -> None:
    step = resume.after_watch(None, Backoff(), NOW, progressed=True)
    assert (step.relist, step.delay) == (False, 0.0)


def test_a_watch_that_brings_nothing_slows_down() -> None:
    first = resume.after_watch(None, Backoff(), NOW, progressed=False)
    second = resume.after_watch(None, first.backoff, NOW, progressed=False)
    assert (first.relist, first.delay, second.delay) == (False, 0.05, 0.1)


def test_expired_history_is_listed_anew_at_once_but_not_in_a_loop() -> None:
    first = resume.after_watch(Expired("gone"), Backoff(), NOW, progressed=False)
    second = resume.after_watch(Expired("gone"), first.backoff, NOW, progressed=False)
    assert (first.relist, first.delay) == (True, 0.0)
    assert second.relist
    assert second.delay > 0


def test_a_server_that_is_away_is_asked_from_where_we_were() -> None:
    step = resume.after_watch(Unavailable("away"), Backoff(), NOW, progressed=False)
    assert (step.relist, step.delay) == (False, 0.05)


def test_a_kind_that_is_gone_is_listed_so_that_the_error_is_told() -> None:
    assert resume.after_watch(NotFound("no such kind"), Backoff(), NOW, progressed=False).relist


def test_the_delay_ends_at_its_cap() -> None:
    backoff = Backoff()
    for _ in range(30):
        step = resume.after_list_failed(backoff, NOW)
        backoff = step.backoff
    assert step.delay == resume.RETRY.cap
