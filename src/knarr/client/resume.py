"""What a reflector does after a list or watch ended: watch on, or list again, and how long it waits before.

Pure; client/reflector.py acts. A watch that ended without an error is resumed at once from the last revision seen;
Expired means history is gone, so only a new list helps; anything else is retried with back-off.
"""

from dataclasses import dataclass
from typing import Final

from knarr.base.backoff import Backoff, BackoffRule
from knarr.base.clock import Instant
from knarr.base.errors import Expired, NotFound, Unauthenticated, Unimplemented

RETRY: Final = BackoffRule(first=0.05, cap=5.0, reset_after=30.0)
"""50 ms lets a server that restarts come back unnoticed; 5 s is what a person tolerates once it is back."""


@dataclass(frozen=True, slots=True)
class Next:
    """`relist` says that the next step is a list, not a watch; `delay` is in seconds."""

    relist: bool
    delay: float
    backoff: Backoff


def after_watch(ended: Exception | None, backoff: Backoff, now: Instant, *, progressed: bool) -> Next:
    """The step after a watch ended, `progressed` when it delivered anything."""
    if progressed:
        backoff = Backoff()
    if ended is None and progressed:
        return Next(relist=False, delay=0.0, backoff=backoff)
    failed = backoff.failed(now, RETRY)
    if isinstance(ended, Expired):
        return Next(relist=True, delay=0.0 if failed.failures == 1 else failed.delay(RETRY), backoff=failed)
    # The kind may have gone, or our certificate: a list says so in words.
    relist = isinstance(ended, NotFound | Unimplemented | Unauthenticated)
    return Next(relist=relist, delay=failed.delay(RETRY), backoff=failed)


def after_list_failed(backoff: Backoff, now: Instant) -> Next:
    """The step after a list failed: list again, later."""
    failed = backoff.failed(now, RETRY)
    return Next(relist=True, delay=failed.delay(RETRY), backoff=failed)
