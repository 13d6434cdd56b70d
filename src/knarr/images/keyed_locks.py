"""One asyncio lock per key, kept only while somebody holds it or waits for it, so that the table stays small."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator


class KeyedLocks:
    """Locks by key; `users` counts who holds or waits."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def hold(self, key: str) -> AsyncIterator[None]:
        """Wait until nobody else holds the key's lock, and hold it inside the block."""
        lock = self._locks.setdefault(key, asyncio.Lock())
        self._users[key] += 1
        try:
            async with lock:
                yield
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._locks[key], self._users[key]

    def __len__(self) -> int:
        return len(self._locks)
