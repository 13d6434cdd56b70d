"""Times of JSON as Go reads and writes them: what `time.Parse` takes, and its words for what it refuses. Pure.

A Time is written in UTC without a fraction, a MicroTime with six digits, and it must come with exactly six. As in
Go an hour may have one digit, and a Time a fraction of any length after a full stop or a comma. Unlike there the year
is 1 to 9999, in UTC too.
Not here: the moments of this program (base/clock.py).
"""

import functools
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from knarr.base import clock
from knarr.base.errors import Invalid

SECONDS: Final = "2006-01-02T15:04:05Z07:00"
MICROSECONDS: Final = "2006-01-02T15:04:05.000000Z07:00"
# What is written as it was read; every month has the days 1 to 28.
_DAY: Final = r"(?!0000)\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_WRITTEN: Final[Mapping[str, re.Pattern[str]]] = {
    SECONDS: re.compile(f"{_DAY}Z", re.ASCII),
    MICROSECONDS: re.compile(rf"{_DAY}\.\d{{6}}Z", re.ASCII),
}
_WRITTEN_MAX: Final = len("2006-01-02T15:04:05.000000Z")
# A part of the layout: its text there, what it looks like, its least and greatest value, what a value out of them is
# called. The day's bounds depend on the month.
_Part = tuple[str, re.Pattern[str], int, int, str]
_TWO: Final = re.compile(r"\d\d", re.ASCII)
# The mark before the part, and the part.
_PARTS: Final[tuple[tuple[str, _Part], ...]] = (
    ("", ("2006", re.compile(r"\d{4}", re.ASCII), 0, 9999, "year")),
    ("-", ("01", _TWO, 1, 12, "month")),
    ("-", ("02", _TWO, 0, 99, "day")),
    ("T", ("15", re.compile(r"\d\d?", re.ASCII), 0, 23, "hour")),
    (":", ("04", _TWO, 0, 59, "minute")),
    (":", ("05", _TWO, 0, 59, "second")),
)
_FRACTION: Final = re.compile(r"[.,](\d+)", re.ASCII)
_SHOWN_MAX: Final = 256
"""Characters of a text that a message quotes; no time is that long."""
_SIX_DIGITS: Final = re.compile(r"[.,](\d{6})", re.ASCII)
_ZONE: Final = re.compile(r"Z|([+-])(\d\d):(\d\d)", re.ASCII)


def canonical(text: str, layout: str) -> str:
    """The time as Go writes it back. Raises Invalid in Go's words."""
    if len(text) <= _WRITTEN_MAX and _is_written(text, layout):
        return text
    return _Reading(text, layout).time()


@functools.lru_cache(1024)
def _is_written(text: str, layout: str) -> bool:
    """Whether Go would write the text itself; kept, for each write reads the same few times of its object again."""
    return _WRITTEN[layout].fullmatch(text) is not None


class _Reading:
    """One pass over a text: what of it is left."""

    __slots__ = ("layout", "rest", "text")

    def __init__(self, text: str, layout: str) -> None:
        self.text = self.rest = text
        self.layout = layout

    def time(self) -> str:
        numbers = []
        for mark, part in _PARTS:
            if not self.rest.startswith(mark):
                raise self._unlike(self.rest, mark)
            self.rest = self.rest[len(mark) :]
            numbers.append(self._number(part))
        microseconds = self._microseconds()
        offset = self._offset()
        if self.rest:
            raise self._fault(f": extra text: {_quoted(self.rest)}")
        year, month, day, *clock_time = numbers
        if not 1 <= day <= _days(year, month):
            raise self._fault(": day out of range")
        try:
            hour, minute, second = clock_time
            moment = datetime(year, month, day, hour, minute, second, microseconds, UTC) - offset
        except (ValueError, OverflowError):
            # Before the year 1 or after 9999 in UTC: Go keeps it, but whoever reads it here later could not.
            raise self._fault(": year out of range") from None
        return clock.rfc3339(moment) if self.layout == SECONDS else clock.rfc3339_micro(moment)

    def _number(self, part: _Part) -> int:
        called, pattern, least, most, name = part
        found = pattern.match(self.rest)
        if found is None:
            raise self._unlike(self.rest, called)
        self.rest = self.rest[found.end() :]
        number = int(found[0])
        if not least <= number <= most:
            raise self._fault(f": {name} out of range")
        return number

    def _microseconds(self) -> int:
        if self.layout == SECONDS:
            found = _FRACTION.match(self.rest)
        else:
            found = _SIX_DIGITS.match(self.rest)
            if found is None:
                raise self._unlike(self.rest, ".000000")
        if found is None:
            return 0
        self.rest = self.rest[found.end() :]
        return int(found[1][:6].ljust(6, "0"))

    def _offset(self) -> timedelta:
        found = _ZONE.match(self.rest)
        if found is None:
            raise self._unlike(self.rest, "Z07:00")
        self.rest = self.rest[found.end() :]
        if found[1] is None:
            return timedelta()
        hours, minutes = int(found[2]), int(found[3])
        for number, most, unit in ((hours, 24, "hour"), (minutes, 60, "minute")):
            if number > most:
                raise self._fault(f": time zone offset {unit} out of range")
        return timedelta(hours=hours, minutes=minutes) * (-1 if found[1] == "-" else 1)

    def _unlike(self, rest: str, called: str) -> Invalid:
        return self._fault(f" as {_quoted(self.layout)}: cannot parse {_quoted(rest)} as {_quoted(called)}")

    def _fault(self, why: str) -> Invalid:
        return Invalid(f"parsing time {_quoted(self.text)}{why}")


def _days(year: int, month: int) -> int:
    """The month's days, in the year 0 too."""
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def _quoted(text: str) -> str:
    """As package time quotes: what is not printable ASCII byte by byte; of a long text the beginning."""
    shown = "".join(
        f"\\{each}" if each in '"\\'
        else each if " " <= each < "\x80"
        else "".join(f"\\x{byte:02x}" for byte in each.encode())
        for each in text[:_SHOWN_MAX]
    )  # fmt: skip
    return f'"{shown}"' if len(text) <= _SHOWN_MAX else f'"{shown}..."'
