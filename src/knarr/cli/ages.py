"""How long ago, as people say it: `3 minutes ago`. Pure."""

from datetime import datetime

_UNITS = (("year", 365 * 86400), ("month", 30 * 86400), ("week", 7 * 86400), ("day", 86400))
_UNITS_OF_A_DAY = (("hour", 3600), ("minute", 60), ("second", 1))


def age(text: str, now: datetime) -> str:
    """The age of an RFC 3339 moment; "" for a text that is none."""
    try:
        moment = datetime.fromisoformat(text)
        seconds = max(int((now - moment).total_seconds()), 0)
    except (ValueError, TypeError):
        return ""
    for unit, size in (*_UNITS, *_UNITS_OF_A_DAY):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "now"
