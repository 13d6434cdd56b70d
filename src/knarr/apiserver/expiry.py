"""Expiry: Events are deleted an hour after their last change, as upstream's lease on them does.

One timer stands for the oldest; nothing polls. What changes meanwhile gets a new hour.
"""

import asyncio
from collections import deque
from typing import Final

from knarr.base.errors import Conflict, Expired, KnarrError, NotFound
from knarr.base.ids import Revision
from knarr.base.tasks import Ready
from knarr.store.store import Store

EVENTS: Final = "/registry/events/"
SECONDS: Final = 3600.0
LATE: Final = 0.5
"""Deletions are gathered for that long, so that a burst of events does not wake the loop for each."""


async def run(store: Store, ready: Ready, *, seconds: float = SECONDS) -> None:
    """Delete old Events until cancelled. Those that are there at the start get their whole time again."""
    while True:
        loop = asyncio.get_running_loop()
        listed = store.list(EVENTS)
        watcher = store.watch(EVENTS, listed.revision)
        due = deque((loop.time() + seconds, entry.key, entry.modified) for entry in listed.entries)
        ready()
        try:
            while True:
                alarm = loop.call_at(due[0][0] + LATE, watcher.nudge) if due else None
                for change in await watcher.batch():
                    if change.value is not None:
                        due.append((loop.time() + seconds, change.key, change.revision))
                if alarm is not None:
                    alarm.cancel()
                while due and due[0][0] <= loop.time():
                    _, key, revision = due.popleft()
                    await _delete(store, key, revision)
        except Expired:
            continue  # too many at once: begin again with what is there
        except StopAsyncIteration:
            return
        finally:
            watcher.close()


async def _delete(store: Store, key: str, revision: Revision) -> None:
    entry = store.get(key)
    if entry is None or entry.modified != revision:
        return
    try:
        await store.write(key, None, expect=revision)
    except (Conflict, NotFound):
        return
    except KnarrError:
        return  # the store says so to everybody; an old Event does no harm
