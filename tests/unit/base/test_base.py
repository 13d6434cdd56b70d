"""Back-off, failpoints, ids, logs, tasks."""

import asyncio
import io
import logging
from datetime import UTC, datetime, timedelta

import pytest

from knarr.base import failpoints, ids, logs, tasks
from knarr.base.backoff import Backoff, BackoffRule
from knarr.base.clock import parse_rfc3339, rfc3339
from knarr.base.errors import DeadlineExceeded

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_backoff_doubles_to_its_cap_and_starts_over_after_a_quiet_time() -> None:
    rule = BackoffRule(first=10, cap=300, reset_after=600)
    state, delays = Backoff(), []
    for _ in range(7):
        state = state.failed(NOW, rule)
        delays.append(state.delay(rule))
    assert delays == [10, 20, 40, 80, 160, 300, 300]
    assert state.failed(NOW + timedelta(seconds=600), rule).delay(rule) == 10


def test_an_armed_failpoint_acts_as_often_as_it_says() -> None:
    assert failpoints.parse("a=raise*2; b=exit") == {"a": ["raise", 2], "b": ["exit", -1]}
    for wrong in ("a", "a=jump", "a=raise*x", "a=raise*"):
        with pytest.raises(ValueError, match="KNARR_FAILPOINTS"):
            failpoints.parse(wrong)


def test_generated_names_use_the_alphabet_without_vowels() -> None:
    assert set(ids.name_suffix(length=500)) <= set(ids.NAME_ALPHABET)


def test_a_time_survives_its_text() -> None:
    assert parse_rfc3339(rfc3339(NOW)) == NOW


def test_a_log_line_cannot_be_forged() -> None:
    stream = io.StringIO()
    logs.configure(stream=stream)
    logs.log("test").warning("%s", logs.fields(pod="a b", image="x\ny\x1b[31m"))
    logging.getLogger("knarr").handlers.clear()
    assert stream.getvalue().count("\n") == 1
    assert 'pod="a b"' in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


async def test_a_deadline_names_what_did_not_answer() -> None:
    with pytest.raises(DeadlineExceeded, match=r"the clock: no answer within 0.01 s"):
        await tasks.deadline(asyncio.Event().wait(), 0.01, "the clock")


async def test_starting_raises_what_the_part_raised_before_it_was_ready() -> None:
    async def broken(_ready: tasks.Ready) -> None:
        raise OSError("no socket")

    with pytest.raises(BaseExceptionGroup) as caught:
        async with asyncio.TaskGroup() as group:
            await tasks.start(group, "broken", broken)
    assert caught.group_contains(OSError, match="no socket")
