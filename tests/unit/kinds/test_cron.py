"""Cron schedules against the documented examples and a dumb oracle."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from knarr.base.errors import Invalid
from knarr.kinds import cron


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("schedule", "after", "wanted"),
    [
        ("*/5 * * * *", "2030-01-01T00:00", "2030-01-01T00:05"),
        ("0 3 * * mon", "2030-01-01T00:00", "2030-01-07T03:00"),
        ("30 4 1,15 * 5", "2030-01-01T05:00", "2030-01-04T04:30"),  # Either day field is enough.
        ("0 0 29 feb *", "2030-01-01T00:00", "2032-02-29T00:00"),
        ("0 0 13 * ?", "2030-01-01T00:00", "2030-01-13T00:00"),
        ("@monthly", "2030-01-31T12:00", "2030-02-01T00:00"),
        ("@hourly", "2030-01-01T00:59:59", "2030-01-01T01:00"),
        ("@every 1h30m", "2030-01-01T00:10", "2030-01-01T01:40"),
        ("0 12 * * 0", "2030-01-01T00:00", "2030-01-06T12:00"),  # Sunday; 7 is no day upstream.
        ("5/20 1-3 * JAN-MAR *", "2030-01-01T00:00", "2030-01-01T01:05"),
    ],
)
def test_the_next_time_is_the_documented_one(schedule: str, after: str, wanted: str) -> None:
    assert cron.parse(schedule).after(at(after)) == at(wanted)


@pytest.mark.parametrize(
    "schedule",
    ["", "* * * *", "60 * * * *", "* * 0 * *", "* * * 13 *", "x * * * *", "5-1 * * * *", "*/0 * * * *", "@nope",
     "@every x", "* * * * 8", "-1 * * * *", "²  * * * *"],
)  # fmt: skip
def test_what_is_no_schedule_is_refused(schedule: str) -> None:
    with pytest.raises(Invalid):
        cron.parse(schedule)


def test_a_day_that_never_comes_has_no_time() -> None:
    assert cron.parse("0 0 30 2 *").after(at("2030-01-01T00:00")) is None


def test_a_time_in_the_gap_of_daylight_saving_is_skipped_and_a_double_one_runs_twice() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    schedule = cron.parse("30 2 * * *")
    # 2030-03-31 has no 02:30 in Berlin.
    assert schedule.after(at("2030-03-30T12:00"), berlin) == at("2030-04-01T00:30")
    first = schedule.after(at("2030-10-26T12:00"), berlin)
    assert first == at("2030-10-27T00:30")
    second = schedule.after(first, berlin)
    assert second == at("2030-10-27T01:30")
    assert schedule.after(second, berlin) == at("2030-10-28T01:30")


def test_frequent_times_do_not_pause_while_the_clock_is_put_back() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    # 03:00 becomes 02:00 at 01:00 UTC.
    assert cron.parse("* * * * *").after(at("2030-10-27T00:59"), berlin) == at("2030-10-27T01:00")
    assert cron.parse("0 * * * *").after(at("2030-10-27T00:00"), berlin) == at("2030-10-27T01:00")
    assert cron.parse("15 2 27 10 *").after(at("2030-10-27T00:30"), berlin) == at("2030-10-27T01:15")


FIELDS = [
    st.sampled_from(["*", "*/7", "0", "5,35", "10-20/3"]),
    st.sampled_from(["*", "*/5", "3", "1-4", "22,23"]),
    st.sampled_from(["*", "1", "*/10", "13,31"]),
    st.sampled_from(["*", "2", "4-9", "*/5"]),
    st.sampled_from(["*", "0", "1-5", "6"]),
]

ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata", "UTC")


@given(st.sampled_from(ZONES), st.tuples(*FIELDS), st.datetimes(datetime(2029, 1, 1), datetime(2031, 1, 1)))
def test_the_next_time_in_a_zone_is_what_walking_its_minutes_finds(
    name: str, fields: tuple[str, ...], moment: datetime
) -> None:
    schedule, zone = cron.parse(" ".join(fields)), ZoneInfo(name)
    walk = moment.replace(tzinfo=UTC, second=0, microsecond=0)
    found = schedule.after(walk, zone)
    for _ in range(24 * 60):
        walk += timedelta(minutes=1)
        if is_allowed(schedule, walk.astimezone(zone)):
            assert found == walk
            return
    assert found is None or found > walk


def is_allowed(schedule: cron.Schedule, wall: datetime) -> bool:
    day, week = wall.day in schedule.days, (wall.weekday() + 1) % 7 in schedule.weekdays
    is_day = (day and week) if schedule.is_any_day or schedule.is_any_weekday else (day or week)
    return is_day and wall.month in schedule.months and wall.hour in schedule.hours and wall.minute in schedule.minutes


@given(st.tuples(*FIELDS), st.datetimes(datetime(2029, 1, 1), datetime(2031, 1, 1)))
def test_the_next_time_is_what_walking_minutes_finds(fields: tuple[str, ...], moment: datetime) -> None:
    schedule = cron.parse(" ".join(fields))
    start = moment.replace(tzinfo=UTC)
    found = schedule.after(start)
    walk = start.replace(second=0, microsecond=0)
    for _ in range(3 * 24 * 60):
        walk += timedelta(minutes=1)
        if is_allowed(schedule, walk):
            assert found == walk
            return
    assert found is None or found > walk


def test_the_latest_of_many_missed_times_is_found_without_walking_them() -> None:
    schedule = cron.parse("* * * * *")
    now = at("2030-06-01T12:00:30")
    assert cron.latest(schedule, at("2020-01-01T00:00"), now) == (at("2030-06-01T12:00"), 101)
    assert cron.latest(schedule, now - timedelta(minutes=3), now) == (at("2030-06-01T12:00"), 3)
    assert cron.latest(schedule, now, now) == (None, 0)
    yearly = cron.parse("@every 10s")
    assert cron.latest(yearly, at("2030-01-01T00:00"), at("2030-01-02T00:00:05"))[0] == at("2030-01-02T00:00")


def test_a_schedule_of_a_megabyte_is_refused_at_once() -> None:
    with pytest.raises(Invalid, match="longer than 4096 characters"):
        cron.parse("*/1," * 250_000 + "* * * * *")
