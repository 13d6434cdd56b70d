"""The body of a message that is still arriving: chunks in order, bounded, with the sender held back when it is ahead.

The protocol of a connection feeds it; one reader iterates. A body that cannot be read to its end (cut short, too
large, connection gone) raises there.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

AHEAD: Final = 128 * 1024
"""Bytes kept for a reader before the sender is held back."""


class ArrivingBody:
    """`changed` is called when `is_ahead` may have changed; `wanted` once, when the first chunk is waited for."""

    __slots__ = ("_changed", "_chunks", "_error", "_waiter", "_wanted", "buffered", "is_complete", "received")

    def __init__(self, changed: Callable[[], None], wanted: Callable[[], None] | None = None) -> None:
        self._chunks: deque[bytes] = deque()
        self._changed = changed
        self._wanted = wanted
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self.buffered = 0
        self.received = 0
        self.is_complete = False

    @property
    def is_ahead(self) -> bool:
        return self.buffered > AHEAD

    def feed(self, content: bytes) -> None:
        self.received += len(content)
        if self._error is not None:
            return
        self.buffered += len(content)
        self._chunks.append(content)
        self._wake()

    def complete(self) -> None:
        self.is_complete = True
        self._wake()

    def fail(self, error: Exception) -> None:
        """Readers get `error` instead of more; what had arrived is dropped. The first failure counts."""
        if self._error is None and not self.is_complete:
            self._error = error
            self._chunks.clear()
            self.buffered = 0
            self._wake()

    def take_all(self) -> bytes:
        """Everything, of a body that is complete."""
        assert self.is_complete
        content = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self.buffered = 0
        return content

    def __aiter__(self) -> "ArrivingBody":
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self._error is not None:
                raise self._error
            if self.is_complete:
                raise StopAsyncIteration
            if self._wanted is not None:
                wanted, self._wanted = self._wanted, None
                wanted()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        content = self._chunks.popleft()
        self.buffered -= len(content)
        self._changed()
        return content

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
