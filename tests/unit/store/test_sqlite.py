"""What only the durable store promises: survival, one owner, no write after a failure."""

import asyncio
import sys
from pathlib import Path

import apsw
import pytest

from knarr.base.errors import Invalid, Unavailable
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
