"""The pace of writes: whether one is made durable in the loop's own thread or handed to the journal's.

Handing over costs two wake-ups of threads, several times the commit's own computing; they pay as soon as writes come
together, because the next ones are then made ready while the disk works. Committing here stops the loop for one fsync,
so it is only done for writes that come one at a time, on a disk that is fast.
"""

from typing import Final

ALONE_AFTER: Final = 16
"""Lone writes in a row after which the next one is committed here."""
SLOW_SECONDS: Final = 0.001
"""A commit that took longer stopped the loop for too long."""
SLOW_REST: Final = 32
"""Lone writes that go to the journal's thread, for each SLOW_SECONDS that a commit here took, before the next one may:
one stop of 2 ms in 64 writes, of a second in 32,000."""
BYTES_MAX: Final = 64 * 1024
"""Larger values take longer than a wake-up."""


class Pace:
    """Counts lone writes; pure but for that."""

    def __init__(self) -> None:
        self._rest = ALONE_AFTER

    def is_alone(self, size: int, *, others: bool) -> bool:
        """Whether a write of that size may be committed here; `others`: some are under way or came together with it."""
        if others:
            self._rest = max(self._rest, ALONE_AFTER)
            return False
        if self._rest:
            self._rest -= 1
            return False
        return size <= BYTES_MAX

    def took(self, seconds: float) -> None:
        """How long a commit here took."""
        if seconds > SLOW_SECONDS:
            self._rest = SLOW_REST * int(seconds / SLOW_SECONDS)
