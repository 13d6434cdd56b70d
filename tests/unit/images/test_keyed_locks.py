"""Keyed locks: one holder for each key, others run beside, and nothing is kept afterwards."""

import asyncio

from knarr.images.keyed_locks import KeyedLocks


async def test_a_key_has_one_holder_and_other_keys_do_not_wait() -> None:
    locks, holders, most = KeyedLocks(), {"a": 0, "b": 0}, {"a": 0, "b": 0}
    both_held = asyncio.Event()

    async def use(key: str) -> None:
        async with locks.hold(key):
            holders[key] += 1
            most[key] = max(most[key], holders[key])
            if holders["a"] and holders["b"]:
                both_held.set()
            async with asyncio.timeout(10):
                await both_held.wait()
            holders[key] -= 1

    await asyncio.gather(*(use(key) for key in "aabbab"))
    assert most == {"a": 1, "b": 1}
    assert len(locks) == 0


async def test_a_waiter_that_is_cancelled_leaves_nothing() -> None:
    locks = KeyedLocks()
    async with locks.hold("a"):
        waiter = asyncio.create_task(locks.hold("a").__aenter__())
        await asyncio.wait({waiter}, timeout=0)
        waiter.cancel()
        await asyncio.wait({waiter})
        assert len(locks) == 1
    assert len(locks) == 0
