"""Events go after their time, unless they changed."""

import asyncio

from knarr.apiserver import expiry
from knarr.store.memory import MemoryStore


async def test_an_event_goes_after_its_last_change() -> None:
    store = MemoryStore()
    await store.write("/registry/events/default/old", b"{}", expect=None)
    ready = asyncio.Event()
    task = asyncio.create_task(expiry.run(store, ready.set, seconds=0.0))
    await ready.wait()
    await store.write("/registry/events/default/new", b"{}", expect=None)
    await store.write("/registry/pods/default/kept", b"{}", expect=None)
    watcher = store.watch("/registry/events/", store.revision)
    gone = {(await anext(watcher)).key for _ in range(2)}
    assert gone == {"/registry/events/default/old", "/registry/events/default/new"}
    assert [entry.key for entry in store.list("/registry/").entries] == ["/registry/pods/default/kept"]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
