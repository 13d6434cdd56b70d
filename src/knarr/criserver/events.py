"""The stream of container events: every subscriber gets each event from its subscription on, in order.

A subscriber that does not read is cut off at QUEUE_MAX events: it must list again, as after any broken stream.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from knarr.base.errors import Expired
from knarr.cri.messages.container import ContainerEventResponse

QUEUE_MAX: Final = 10_000
_Queue = asyncio.Queue[ContainerEventResponse | None]


class Events:
    def __init__(self) -> None:
        self._subscribers: set[_Queue] = set()

    @property
    def has_subscribers(self) -> bool:
        return bool(self._subscribers)

    def publish(self, event: ContainerEventResponse) -> None:
        for queue in list(self._subscribers):
            if queue.qsize() >= QUEUE_MAX:
                self._subscribers.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait(event)

    def subscribe(self) -> AsyncIterator[ContainerEventResponse]:
        """Events from this call on. Raises Expired when the reader was too slow."""
        queue: _Queue = asyncio.Queue(QUEUE_MAX + 1)
        self._subscribers.add(queue)
        return self._read(queue)

    async def _read(self, queue: _Queue) -> AsyncIterator[ContainerEventResponse]:
        try:
            while (event := await queue.get()) is not None:
                yield event
            raise Expired(f"container events: the reader was more than {QUEUE_MAX} events behind")
        finally:
            self._subscribers.discard(queue)
