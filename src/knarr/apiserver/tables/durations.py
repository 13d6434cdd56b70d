"""Durations and ages in the words of `kubectl get`. Pure."""

from typing import Any

from knarr.base import clock
from knarr.base.clock import Instant

UNKNOWN = "<unknown>"


def human(seconds: float) -> str:
    """Upstream's short form: `45s`, `3m12s`, `75m`, `5h10m`, `30h`, `3d4h`, `90d`, `2y30d`."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 120:
        return f"{max(whole, 0)}s"
    minutes = whole // 60
    if minutes < 10:
        return _two(minutes, "m", whole % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    hours = minutes // 60
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if hours < 192:
        return _two(days, "d", hours % 24, "h")
    if days < 730:
        return f"{days}d"
    years = days // 365
    return _two(years, "y", days % 365, "d") if years < 8 else f"{years}y"


def _two(first: int, unit: str, second: int, small_unit: str) -> str:
    return f"{first}{unit}{second}{small_unit}" if second else f"{first}{unit}"


def since(timestamp: Any, now: Instant) -> str:
    """How long ago an RFC 3339 text was; `<unknown>` for none."""
    if not timestamp:
        return UNKNOWN
    return human(between(timestamp, now))


def between(timestamp: str, now: Instant) -> float:
    return (now - clock.parse_rfc3339(timestamp)).total_seconds()
