"""Cron schedules: five fields, names, ranges, steps, lists, `@hourly` and its like, `@every 1h30m`; in a time zone.

`Schedule.after(moment)` is the next time. Daylight saving: wall times that do not exist are skipped, those that exist
twice run twice.
Faults have the texts of the parser that upstream uses. Not here: what runs (controllers/cronjob.py). Spec: "CronJob:
schedule syntax".
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

from knarr.base import durations
from knarr.base.clock import Instant
from knarr.base.errors import Invalid

MONTH_NAMES: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
SCHEDULE_MAX: Final = 4096
"""Characters: every minute, hour, day, month and weekday by name is below 1,000, and a controller reads it often."""
MONTHS: Final = {name: number for number, name in enumerate(MONTH_NAMES, 1)}
DAYS: Final = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
MACROS: Final[Mapping[str, str]] = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
# name, lowest, highest value, names
FIELDS: Final[tuple[tuple[str, int, int, Mapping[str, int]], ...]] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, MONTHS),
    ("day of week", 0, 6, DAYS),
)
CLOCK_STEP: Final = timedelta(days=14)
"""No zone changes its clock twice within this time."""
YEARS_MAX: Final = 5
"""A schedule without a time within this many years (30 February) has none."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The allowed values of each field, or a fixed `every`. `is_any_*` are stars: then the other day field decides."""

    minutes: frozenset[int] = frozenset()
    hours: frozenset[int] = frozenset()
    days: frozenset[int] = frozenset()
    months: frozenset[int] = frozenset()
    weekdays: frozenset[int] = frozenset()
    is_any_day: bool = False
    is_any_weekday: bool = False
    every: timedelta | None = None

    def after(self, moment: Instant, zone: tzinfo = UTC) -> Instant | None:
        """The first time strictly after `moment`; None if there is none."""
        if self.every is not None:
            return moment.replace(microsecond=0) + self.every
        start = moment.replace(second=0, microsecond=0) + timedelta(minutes=1)
        limit = start.year + YEARS_MAX
        while True:
            # As if the clock stayed as it is at `start`; if it is changed before the time is found, on from there.
            offset = _offset(start, zone)
            found = self._first_from((start + offset).replace(tzinfo=None), limit)
            if found is None:
                return None
            instant = found.replace(tzinfo=UTC) - offset
            change = None if zone is UTC else _change(zone, start, instant)
            if change is None:
                return instant
            start = change

    def _first_from(self, local: datetime, year_max: int) -> datetime | None:
        """The first wall time at or after `local` whose fields all allow it."""
        while local.year <= year_max:
            if local.month not in self.months:
                local = _next_month(local)
            elif not self._is_day(local):
                local = local.replace(hour=0, minute=0) + timedelta(days=1)
            elif local.hour not in self.hours:
                local = local.replace(minute=0) + timedelta(hours=1)
            elif local.minute not in self.minutes:
                local += timedelta(minutes=1)
            else:
                return local
        return None

    def _is_day(self, local: datetime) -> bool:
        """With both day fields given, either is enough; with a star, the other one decides."""
        in_month, in_week = local.day in self.days, (local.weekday() + 1) % 7 in self.weekdays
        if self.is_any_day or self.is_any_weekday:
            return in_month and in_week
        return in_month or in_week


def _offset(moment: Instant, zone: tzinfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _change(zone: tzinfo, first: Instant, last: Instant) -> Instant | None:
    """The first minute in (first, last] at which the zone's clock shows another offset; None if there is none."""
    while first < last:
        until = min(first + CLOCK_STEP, last)
        offset = _offset(first, zone)
        if _offset(until, zone) != offset:
            while until - first > timedelta(minutes=1):
                middle = first + ((until - first) // 2 // timedelta(minutes=1)) * timedelta(minutes=1)
                first, until = (middle, until) if _offset(middle, zone) == offset else (first, middle)
            return until
        first = until
    return None


def _next_month(local: datetime) -> datetime:
    first = local.replace(day=1, hour=0, minute=0)
    return (first + timedelta(days=32)).replace(day=1)


@functools.lru_cache(maxsize=1024)
def parse(text: str) -> Schedule:
    """The schedule that a text names; raises Invalid naming the field."""
    text = text.strip()
    if len(text) > SCHEDULE_MAX:
        raise Invalid(f"the schedule is longer than {SCHEDULE_MAX} characters")
    if text.startswith("@every "):
        return Schedule(every=_every(text.removeprefix("@every ").strip()))
    if text.startswith("@"):
        if text.lower() not in MACROS:
            raise Invalid(f"unrecognized descriptor: {text}")
        text = MACROS[text.lower()]
    fields = text.split()
    if len(fields) != len(FIELDS):
        raise Invalid(f"expected exactly 5 fields, found {len(fields)}: [{' '.join(fields)}]")
    minutes, hours, days, months, weekdays = (_field(part, *row) for part, row in zip(fields, FIELDS, strict=True))
    return Schedule(minutes, hours, days, months, weekdays, _is_star(fields[2]), _is_star(fields[4]))


def _is_star(field: str) -> bool:
    return any(part in ("*", "?", "*/1", "?/1") for part in field.split(","))


def _field(text: str, name: str, lowest: int, highest: int, names: Mapping[str, int]) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, last, step = _range(part, lowest, highest, names)
        if first < lowest:
            raise Invalid(f"beginning of range ({first}) below minimum ({lowest}): {part}")
        if last > highest:
            raise Invalid(f"end of range ({last}) above maximum ({highest}): {part}")
        if first > last:
            raise Invalid(f"beginning of range ({first}) beyond end of range ({last}): {part}")
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _range(part: str, lowest: int, highest: int, names: Mapping[str, int]) -> tuple[int, int, int]:
    """First, last and step of one part of a field."""
    if part.count("/") > 1:
        raise Invalid(f"too many slashes: {part}")
    span, slash, step_text = part.partition("/")
    if span.count("-") > 1:
        raise Invalid(f"too many hyphens: {part}")
    step = _number(step_text, {}) if slash else 1
    if step < 1:
        raise Invalid(f"step of range should be a positive number: {part}")
    if span in ("*", "?"):
        return lowest, highest, step
    begin, dash, end = span.partition("-")
    first = _number(begin, names)
    return first, _number(end, names) if dash else (highest if slash else first), step


def _number(text: str, names: Mapping[str, int]) -> int:
    if text.lower() in names:
        return names[text.lower()]
    if not (text.isascii() and text.isdigit()):
        raise Invalid(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    return int(text)


def _every(text: str) -> timedelta:
    try:
        seconds = durations.nanoseconds(text) // durations.SECOND
    except Invalid as error:
        raise Invalid(f"failed to parse duration @every {text}: {error}") from error
    return timedelta(seconds=max(1, seconds))


def latest(schedule: Schedule, earliest: Instant, now: Instant, zone: tzinfo = UTC) -> tuple[Instant | None, int]:
    """The last time in (earliest, now], and how many there were in it (101 stands for more than 100)."""
    found: Instant | None = None
    count = 0
    moment = schedule.after(earliest, zone)
    while moment is not None and moment <= now:
        found, count = moment, count + 1
        if count > 100:
            return _last_before(schedule, moment, now, zone), count
        moment = schedule.after(moment, zone)
    return found, count


def _last_before(schedule: Schedule, known: Instant, now: Instant, zone: tzinfo) -> Instant:
    """The last time up to `now` when there are too many to walk: look back by growing windows."""
    if schedule.every is not None:
        return known + (now - known) // schedule.every * schedule.every
    for window in (timedelta(hours=1), timedelta(days=1), timedelta(days=32), timedelta(days=366)):
        found = schedule.after(max(known, now - window), zone)
        if found is not None and found <= now:
            known = found
            break
    while (following := schedule.after(known, zone)) is not None and following <= now:
        known = following
    return known
