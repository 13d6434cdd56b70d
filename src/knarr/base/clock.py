"""Time as a value.

Pure code takes `now: Instant` as an argument. Edges ask a Clock. `SystemClock` couples wall time to nothing;
under a fake event loop a `LoopClock` moves with the loop, so a day passes in milliseconds.
"""

import asyncio
from datetime import MAXYEAR, UTC, datetime, timedelta
from typing import Protocol

Instant = datetime
"""A moment: an aware datetime in UTC."""


class Clock(Protocol):
    def now(self) -> Instant:
        """The moment now, in UTC."""
        ...


class SystemClock:
    def now(self) -> Instant:
        return datetime.now(UTC)


class LoopClock:
    """Reads the running loop's time, counted from `start`: a fake loop makes fake time."""

    def __init__(self, start: Instant) -> None:
        self._start = start

    def now(self) -> Instant:
        return self._start + timedelta(seconds=asyncio.get_running_loop().time())


_SECOND = timedelta(seconds=1)
_second = (datetime.min.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC), "")


def rfc3339(instant: Instant) -> str:
    """Kubernetes' metav1.Time: whole seconds, UTC, `Z`."""
    global _second
    # Every write asks, mostly for the second that was asked for last.
    start, end, text = _second
    if start <= instant < end:
        return text
    start = instant.astimezone(UTC).replace(microsecond=0)
    text = start.isoformat(timespec="seconds")[:-6] + "Z"
    if start.year < MAXYEAR:
        _second = (start, start + _SECOND, text)
    return text


def rfc3339_micro(instant: Instant) -> str:
    """Kubernetes' metav1.MicroTime: six digits of a second."""
    if instant.tzinfo is not UTC:
        instant = instant.astimezone(UTC)
    return instant.isoformat(timespec="microseconds")[:-6] + "Z"


def parse_rfc3339(text: str) -> Instant:
    """The moment that an RFC 3339 text names; ValueError if it names none."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is before the year 1 or after 9999 in UTC") from error
