"""What only the durable store promises: survival, one owner, no write after a failure."""

import asyncio
import contextlib
import sys
from pathlib import Path

import apsw
import pytest

from knarr.base.errors import Conflict, Invalid, Unavailable
from knarr.store.sqlite import SqliteStore


async def test_entries_history_and_revision_survive_a_reopening(tmp_path: Path) -> None:
    path = tmp_path / "knarr.db"
    store = SqliteStore(path)
    first = await store.write("/a", b"1", expect=0)
    await store.write("/a", b"2", expect=first)
    await store.write("/b", b"1", expect=0)
    last = await store.write("/b", None, expect=None)
    await store.close()
    store = SqliteStore(path)
    assert store.revision == last
    assert [entry.value for entry in store.list("/").entries] == [b"2"]
    assert [entry.value for entry in store.list("/", at=first).entries] == [b"1"]
    assert (await anext(store.watch("/b", first))).value == b"1"
    assert await store.write("/b", b"again", expect=0) == last + 1
    await store.close()


async def test_the_revision_never_runs_backwards_even_when_all_is_deleted_and_compacted(tmp_path: Path) -> None:
    path = tmp_path / "knarr.db"
    store = SqliteStore(path)
    await store.write("/a", b"1", expect=0)
    last = await store.write("/a", None, expect=None)
    await store.compact(last)
    await store.close()
    store = SqliteStore(path)
    assert store.revision == last
    assert await store.write("/a", b"2", expect=0) == last + 1
    await store.close()


async def test_a_store_has_one_owner(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "knarr.db")
    with pytest.raises(Unavailable, match="another knarr owns"):
        SqliteStore(tmp_path / "knarr.db")
    await store.close()


async def test_a_foreign_database_is_refused_untouched(tmp_path: Path) -> None:
    path = tmp_path / "knarr.db"
    with apsw.Connection(str(path)) as connection:
        connection.execute("PRAGMA application_id=7; CREATE TABLE mine(x)")
    before = path.read_bytes()
    with pytest.raises(Invalid, match="not a store of this knarr"):
        SqliteStore(path)
    assert path.read_bytes() == before
    path.write_bytes(b"no database at all, but long enough to be one" * 100)
    with pytest.raises(Invalid):
        SqliteStore(path)


async def test_the_index_of_an_older_store_makes_room_for_one_that_still_refuses_a_fork(tmp_path: Path) -> None:
    path = tmp_path / "knarr.db"
    store = SqliteStore(path)
    first = await store.write("/a", b"1", expect=0)
    await store.close()
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.execute("DROP INDEX step_chain; CREATE UNIQUE INDEX step_once ON step(key, previous)")
    store = SqliteStore(path)
    last = await store.write("/a", b"2", expect=first)
    await store.close()
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE type='index'").get == "step_chain"
        with pytest.raises(apsw.ConstraintError):
            connection.execute("INSERT INTO step VALUES (?, '/a', 'another 2', 1, ?)", (last + 1, first))


async def test_after_a_failed_commit_nothing_is_acknowledged_any_more(tmp_path: Path) -> None:
    script = """
import asyncio, sys
from pathlib import Path
from knarr.base.errors import Unavailable
from knarr.store.sqlite import SqliteStore
async def main():
    store = SqliteStore(Path(sys.argv[1]))
    for number in range(3):
        try:
            await store.write(f"/{number}", b"x", expect=0)
        except Unavailable as error:
            print(error)
    print([entry.key for entry in store.list("/").entries], store.revision)
    await store.close()
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(tmp_path / "knarr.db"),
        stdout=asyncio.subprocess.PIPE, env={"KNARR_FAILPOINTS": "store.before_commit=raise*1", "PYTHONPATH": "src"},
    )  # fmt: skip
    output, _ = await process.communicate()
    assert output.decode().splitlines() == [
        *["the store cannot write and is read-only now: store.before_commit"] * 3,
        "[] 0",
    ]


_LONE_WRITES = """
import asyncio, os, sys
from pathlib import Path
from knarr.base import failpoints
from knarr.base.errors import Unavailable
from knarr.store import pace
from knarr.store.sqlite import SqliteStore
pace.SLOW_SECONDS = 60.0
async def main():
    store = SqliteStore(Path(sys.argv[1]))
    for number in range(pace.ALONE_AFTER + 3):
        if number == pace.ALONE_AFTER + 1:
            failpoints.arm(sys.argv[2])
        try:
            await store.write(f"/{number:02}", b"x", expect=0)
        except Unavailable as error:
            print(error, store.revision, flush=True)
        await asyncio.sleep(0)
    os._exit(0)
asyncio.run(main())
"""


async def _lone_writes(path: Path, failpoints: str) -> list[str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _LONE_WRITES, str(path), failpoints,
        stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": "src"},
    )  # fmt: skip
    output, _ = await process.communicate()
    return output.decode().splitlines()


async def test_a_lone_write_is_durable_when_it_is_answered(tmp_path: Path) -> None:
    path = tmp_path / "knarr.db"
    assert await _lone_writes(path, "") == []
    store = SqliteStore(path)
    assert [entry.key for entry in store.list("/").entries] == [f"/{number:02}" for number in range(19)]
    await store.close()


async def test_a_lone_write_that_fails_is_refused_as_all_after_it(tmp_path: Path) -> None:
    path = tmp_path / "knarr.db"
    refusal = "the store cannot write and is read-only now: store.before_commit"
    assert await _lone_writes(path, "store.before_commit=raise*1") == [f"{refusal} 17"] * 2
    store = SqliteStore(path)
    assert store.revision == 17
    await store.close()


async def test_lone_writes_and_writes_together_keep_one_order(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "knarr.db")
    watcher = store.watch("/", store.revision)
    keys: list[str] = []
    for turn in range(60):
        together = [f"/{turn:02}-{number}" for number in range(1 + 3 * (turn % 25 == 24))]
        keys += together
        await asyncio.gather(*(store.write(key, b"x", expect=0) for key in together))
        await asyncio.sleep(0)
    assert [(change.key, change.revision) for change in watcher.take()] == list(zip(keys, range(1, 67), strict=True))
    await store.close()
    store = SqliteStore(tmp_path / "knarr.db")
    assert [entry.key for entry in store.list("/").entries] == keys
    await store.close()


async def test_the_write_ahead_log_is_copied_into_the_file_when_it_is_long(tmp_path: Path) -> None:
    path = tmp_path / "knarr.db"
    store = SqliteStore(path)
    revision = 0
    for _ in range(150):
        revision = await store.write("/a", b"x" * 200_000, expect=revision)
        await asyncio.sleep(0)
    assert path.with_name("knarr.db-wal").stat().st_size < 16 << 20
    await store.close()


async def test_a_caller_that_gives_up_takes_nothing_from_those_who_lost_against_it(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "knarr.db")
    first = asyncio.create_task(store.write("/a", b"1", expect=0))
    await asyncio.sleep(0)
    second = asyncio.create_task(store.write("/a", b"2", expect=0))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(Conflict):
        await second
    found = store.get("/a")
    assert found is not None
    assert (found.value, found.modified) == (b"1", 1)
    await store.close()


async def test_closing_waits_for_the_writes_under_way(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "knarr.db")
    writes = [asyncio.create_task(store.write(f"/{number}", b"x", expect=0)) for number in range(5)]
    await asyncio.sleep(0)
    await store.close()
    assert [write.result() for write in writes] == [1, 2, 3, 4, 5]
