"""What only the durable store promises: survival, one owner, no write after a failure."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import apsw
import pytest

from knarr.base.errors import Invalid, Unavailable
from knarr.store.sqlite import SqliteStore

WRITER = """
import asyncio, json, sys
from pathlib import Path
from knarr.store.sqlite import SqliteStore

async def write(store, worker, round_):
    number = 0
    while True:
        key, value = f"/{worker}/{number % 7}", f"{round_}.{number}"
        if number % 5 == 4:
            gone = store.get(key)
            revision = await store.write(key, None, expect=gone.modified) if gone else 0
            value = None
        else:
            revision = await store.write(key, value.encode(), expect=None)
        if revision:
            sys.stdout.write(json.dumps([revision, key, value]) + "\\n"); sys.stdout.flush()
        number += 1
        if number % 40 == 0 and worker == 0:
            await store.compact(max(0, store.revision - 500))

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    async with asyncio.TaskGroup() as group:
        for worker in range(8):
            group.create_task(write(store, worker, sys.argv[2]))

asyncio.run(main())
"""


async def reopened(path: Path) -> SqliteStore:
    return SqliteStore(path)


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


@pytest.mark.timeout(120)
async def test_nothing_acknowledged_is_lost_by_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "knarr.db"
    latest: dict[str, tuple[int, str | None]] = {}
    revision = 0
    for round_ in range(20):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", WRITER, str(path), str(round_),
            stdout=asyncio.subprocess.PIPE, env={"PYTHONPATH": "src"},
        )  # fmt: skip
        assert process.stdout is not None
        lines = [await process.stdout.readline() for _ in range(60 + 17 * round_)]
        process.send_signal(signal.SIGKILL)
        lines += (await process.stdout.read()).splitlines(keepends=True)
        await process.wait()
        for line in lines:
            if line.endswith(b"\n"):
                at, key, value = json.loads(line)
                latest[key] = max(latest.get(key, (0, None)), (at, value))
                revision = max(revision, at)
        store = SqliteStore(path)
        assert store.revision >= revision
        for key, (at, value) in latest.items():
            entry = store.get(key)
            if entry is not None and entry.modified > at:
                continue  # a change that was committed but not yet acknowledged
            if entry is None and value is not None:
                later = [change for change in await changes(store, key, at) if change is None]
                assert later, f"{key}: {value} of revision {at} is lost"
                continue
            assert (None if entry is None else entry.value.decode()) == value
        await store.close()


async def changes(store: SqliteStore, key: str, since: int) -> list[bytes | None]:
    watcher = store.watch(key, since)  # type: ignore[arg-type]  # the acknowledgement log holds plain integers
    found = []
    try:
        async with asyncio.timeout(1):
            found = [change.value for change in await watcher.batch()]
    except TimeoutError:
        pass
    watcher.close()
    return found
