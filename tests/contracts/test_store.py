"""The contract of store.Store, over the memory and the SQLite store."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from knarr.base.errors import Conflict, Expired, NotFound
from knarr.store.memory import MemoryStore
from knarr.store.sqlite import SqliteStore
from knarr.store.store import Change, Store


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    made: Store
    if request.param == "memory":
        made = MemoryStore(window_max=50, queue_max=20)
    else:
        made = SqliteStore(tmp_path / "store" / "knarr.db", window_max=50, queue_max=20)
    yield made
    await made.close()


async def test_a_created_entry_is_read_back_with_its_revisions(store: Store) -> None:
    first = await store.write("/a", b"1", expect=0)
    second = await store.write("/a", b"2", expect=first)
    entry = store.get("/a")
    assert entry is not None
    assert (entry.value, entry.created, entry.modified) == (b"2", first, second)
    assert store.revision == second == first + 1


async def test_expectations_that_do_not_hold_are_conflicts(store: Store) -> None:
    first = await store.write("/a", b"1", expect=0)
    with pytest.raises(Conflict):
        await store.write("/a", b"2", expect=0)
    with pytest.raises(Conflict):
        await store.write("/a", b"2", expect=first + 1)
    with pytest.raises(Conflict):
        await store.write("/b", b"2", expect=first)
    with pytest.raises(NotFound):
        await store.write("/b", None, expect=None)
    assert store.revision == first


async def test_a_deleted_key_is_gone_and_may_be_created_again(store: Store) -> None:
    first = await store.write("/a", b"1", expect=0)
    await store.write("/a", None, expect=first)
    assert store.get("/a") is None
    third = await store.write("/a", b"3", expect=0)
    entry = store.get("/a")
    assert entry is not None
    assert entry.created == third


async def test_lists_are_ordered_cut_and_continued_at_one_revision(store: Store) -> None:
    for name in ("b", "a", "d", "c"):
        await store.write(f"/x/{name}", name.encode(), expect=0)
    await store.write("/y/a", b"", expect=0)
    page = store.list("/x/", limit=2)
    assert ([entry.key for entry in page.entries], page.remaining) == (["/x/a", "/x/b"], 2)
    await store.write("/x/c", None, expect=None)
    await store.write("/x/d", b"new", expect=None)
    await store.write("/x/e", b"new", expect=0)
    rest = store.list("/x/", at=page.revision, after="/x/b")
    assert [(entry.key, entry.value) for entry in rest.entries] == [("/x/c", b"c"), ("/x/d", b"d")]
    assert (rest.revision, rest.remaining) == (page.revision, 0)
    old = store.get("/x/c", at=page.revision)
    assert old is not None
    assert old.value == b"c"


async def test_a_watch_sees_every_change_after_its_revision_once_and_in_order(store: Store) -> None:
    first = await store.write("/x/a", b"1", expect=0)
    await store.write("/x/a", b"2", expect=first)
    watcher = store.watch("/x/", first)
    await store.write("/y/a", b"", expect=0)
    last = await store.write("/x/a", None, expect=None)
    assert [await anext(watcher) for _ in range(2)] == [
        Change(first + 1, "/x/a", b"2", b"1"),
        Change(last, "/x/a", None, b"2"),
    ]
    waiting = asyncio.ensure_future(watcher.batch())
    await asyncio.sleep(0)
    created = await store.write("/x/b", b"b", expect=0)
    assert await waiting == [Change(created, "/x/b", b"b", None)]
    watcher.close()
    with pytest.raises(StopAsyncIteration):
        await anext(watcher)


async def test_a_slow_watcher_expires_and_the_writer_does_not_wait(store: Store) -> None:
    watcher = store.watch("/", store.revision)
    for number in range(30):
        await store.write(f"/{number:03}", b"", expect=0)
    with pytest.raises(Expired):
        await anext(watcher)


async def test_a_compacted_revision_is_expired_for_reads_and_watches(store: Store) -> None:
    first = await store.write("/a", b"1", expect=0)
    second = await store.write("/a", b"2", expect=first)
    await store.write("/b", b"1", expect=0)
    await store.compact(second)
    with pytest.raises(Expired):
        store.get("/a", at=first)
    with pytest.raises(Expired):
        store.list("/", at=first)
    with pytest.raises(Expired):
        store.watch("/", first)
    assert [entry.key for entry in store.list("/").entries] == ["/a", "/b"]
    assert [entry.key for entry in store.list("/", at=second).entries] == ["/a"]
    assert (await anext(store.watch("/", second))).key == "/b"


async def test_the_window_forgets_by_itself(store: Store) -> None:
    for number in range(60):
        await store.write("/a", str(number).encode(), expect=None)
    with pytest.raises(Expired):
        store.watch("/", 5)
    assert (await anext(store.watch("/", 15))).value == b"15"


async def test_racing_writers_of_one_key_lose_all_but_one(store: Store) -> None:
    await store.write("/a", b"0", expect=0)
    results = await asyncio.gather(
        *(store.write("/a", bytes([n]), expect=1) for n in range(20)), return_exceptions=True
    )
    assert sum(isinstance(result, Conflict) for result in results) == 19
    assert store.revision == 2
