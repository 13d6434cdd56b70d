"""Texts of moments and UUIDs, made in ways that cost little, beside the dumb ways."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from knarr.base import ids
from knarr.base.clock import rfc3339

MOMENTS = st.datetimes(
    min_value=datetime(1, 1, 2),  # hypothesis adds the zone
    max_value=datetime(9999, 12, 31, 23, 59, 59, 999999),
    timezones=st.just(UTC),
)
NEAR = st.lists(st.timedeltas(min_value=timedelta(seconds=-2), max_value=timedelta(seconds=2)), max_size=8)


def _plain(moment: datetime) -> str:
    return moment.replace(microsecond=0, tzinfo=None).isoformat() + "Z"


@given(MOMENTS.filter(lambda moment: 1 < moment.year < 9999), NEAR)
def test_a_moment_is_told_in_whole_seconds_whatever_was_told_before(moment: datetime, near: list[timedelta]) -> None:
    moments = [moment, *(moment + step for step in near)]
    assert [rfc3339(each) for each in moments] == [_plain(each) for each in moments]


@given(MOMENTS)
def test_the_first_and_the_last_second_of_the_calendar_are_told_too(moment: datetime) -> None:
    assert rfc3339(moment) == _plain(moment)


def test_a_moment_of_another_zone_is_told_in_utc() -> None:
    moment = datetime(2026, 1, 1, 1, 30, 0, 7, tzinfo=timezone(timedelta(hours=2)))
    assert [rfc3339(moment), rfc3339(moment.astimezone(UTC))] == ["2025-12-31T23:30:00Z"] * 2
    assert rfc3339(moment) == "2025-12-31T23:30:00Z"


@given(st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=20))
def test_uids_are_the_random_uuids_of_their_bytes(random: list[bytes]) -> None:
    assert ids.uids(b"".join(random)) == [str(uuid.UUID(bytes=each, version=4)) for each in random]


def test_no_uid_is_given_twice() -> None:
    assert len({ids.new_uid() for _ in range(1000)}) == 1000


def test_no_uid_is_given_twice_by_threads() -> None:
    with ThreadPoolExecutor(4) as pool:
        made = [each for some in pool.map(lambda _: [ids.new_uid() for _ in range(1000)], range(8)) for each in some]
    assert len(set(made)) == 8000
