"""Durations as Go reads and prints them: `1h30m`, `1.5s`, `100ms`. Pure; in whole nanoseconds, as Go counts.

Not here: ages as `kubectl get` shows them (apiserver/tables/durations.py). Spec: Go's time.ParseDuration and
Duration.String.
"""

import re
from fractions import Fraction
from typing import Final

from knarr.base.errors import Invalid

SECOND: Final = 10**9
UNITS: Final = {
    "ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND,
}  # fmt: skip
MAX: Final = 2**63 - 1
LENGTH_MAX: Final = 64
"""No duration needs a longer text; a longer one is not read at all."""
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)([^0-9.]*)")


def nanoseconds(text: str) -> int:
    """What the text stands for. Raises Invalid in Go's words."""
    sign, plain = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    if plain == "0":
        return 0
    if len(text) > LENGTH_MAX:
        raise Invalid("time: invalid duration: more than 64 characters")
    total, position = Fraction(), 0
    while position < len(plain):
        part = _PART.match(plain, position)
        if part is None:
            break
        number, unit = part[1], part[2]
        if not unit:
            raise Invalid(f'time: missing unit in duration "{text}"')
        if unit not in UNITS:
            raise Invalid(f'time: unknown unit "{unit}" in duration "{text}"')
        total += Fraction(number if not number.endswith(".") else number[:-1]) * UNITS[unit]
        position = part.end()
    if not plain or position < len(plain) or total > MAX:
        raise Invalid(f'time: invalid duration "{text}"')
    return sign * int(total)


def seconds(text: str) -> float:
    """The same in seconds. Raises Invalid."""
    return nanoseconds(text) / SECOND


def shown(duration: int) -> str:
    """What Go prints for nanoseconds: `0s`, `350ms`, `1m20s`, `1h0m0s`."""
    if duration < 0:
        return "-" + shown(-duration)
    if 0 < duration < SECOND:
        unit = next(unit for unit in ("ms", "µs", "ns") if duration >= UNITS[unit])
        return _decimal(duration, UNITS[unit]) + unit
    minutes, rest = divmod(duration, UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    tail = _decimal(rest, SECOND) + "s"
    if hours:
        return f"{hours}h{minutes}m{tail}"
    return f"{minutes}m{tail}" if minutes else tail


def _decimal(amount: int, unit: int) -> str:
    """The amount in units, with as many digits as it has."""
    whole, rest = divmod(amount, unit)
    digits = str(rest).rjust(len(str(unit)) - 1, "0").rstrip("0") if rest else ""
    return f"{whole}.{digits}" if digits else str(whole)
