"""The power goes at any moment of many writes: the store opens, is sound, and has what was acknowledged.

A store runs under strace; from the trace, disks are made as a power loss may leave them (power_loss.py). The last test
takes the fsyncs of the write-ahead log out of the trace: then the judge must find what is lost.
"""

import contextlib
import json
import os
import random
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from knarr.store.sqlite import SqliteStore
from tests.conformance.power_loss import Act, Disk, Recorded, record

pytestmark = [
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
    pytest.mark.timeout(240 if "KNARR_POWER_LOSSES" not in os.environ else 3600),
]
IMAGES = int(os.environ.get("KNARR_POWER_LOSSES", "300"))
MEMORY_MAPPED = "-shm"
"""What SQLite makes anew at each opening; it is never written by a call."""
WRITES = """
import asyncio, json, os, sys
from pathlib import Path
from knarr.store.sqlite import SqliteStore

def told(word, key, value, revision=0):
    os.write(1, json.dumps([word, key, value, revision]).encode() + b"\\n")

async def write(store, worker):
    for number in range(60):
        key = f"/{worker}/{number % 5}"
        entry = store.get(key)
        value = None if number % 7 == 6 and entry else f"{worker}.{number}." + "x" * (number * 97 % 3000)
        told("begun", key, value)
        revision = await store.write(key, value.encode() if value else None, expect=entry.modified if entry else None)
        told("done", key, value, revision)
        if worker == 0 and number % 20 == 19:
            await store.compact(max(0, store.revision - 40))

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    async with asyncio.TaskGroup() as group:
        for worker in range(6):
            group.create_task(write(store, worker))
    await write(store, 6)  # alone
    await store.close()

asyncio.run(main())
"""


@dataclass
class Promised:
    """What the writers were told: per key the acknowledged value and the one that was on its way."""

    settled: dict[str, str | None] = field(default_factory=dict)
    begun: dict[str, str | None] = field(default_factory=dict)
    revision: int = 0

    def hear(self, line: bytes) -> None:
        word, key, value, revision = json.loads(line)
        if word == "begun":
            self.begun[key] = value
        else:
            self.settled[key] = value
            del self.begun[key]
            self.revision = max(self.revision, revision)

    def broken(self, store: SqliteStore) -> list[str]:
        found = [] if store.revision >= self.revision else [f"the revision ran back to {store.revision}"]
        for key in self.settled.keys() | self.begun.keys():
            entry = store.get(key)
            value = entry.value.decode() if entry else None
            if value != self.settled.get(key) and not (key in self.begun and value == self.begun[key]):
                found.append(f"lost: {key}")
        return found


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    directory = tmp_path_factory.mktemp("power")
    trace, root = directory / "trace", directory / "store"
    root.mkdir()
    return record(trace, root, WRITES, root / "knarr.db")


async def faults(recorded: Recorded, place: Path, losses: int, kept: Callable[[Act], bool]) -> set[str]:
    """What is wrong after so many losses of power, with the acts that are kept."""
    chance = random.Random(1)
    acts = [act for act in recorded.acts if kept(act)]
    moments = sorted(chance.randrange(len(acts) + 1) for _ in range(losses))
    disk, promised, found = Disk(recorded.root), Promised(), set[str]()
    done = 0
    for moment in moments:
        for act in acts[done:moment]:
            if act.call == "write" and act.descriptor == 1:
                promised.hear(act.body)
            elif not any(path.endswith(MEMORY_MAPPED) for path in act.paths):
                disk.apply(act)
        done = moment
        found |= await judged(disk.after_power_loss(chance), place, promised)
    return found


async def judged(files: dict[str, bytes], place: Path, promised: Promised) -> set[str]:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for path, content in files.items():
        (place / Path(path).name).write_bytes(content)
    try:
        store = SqliteStore(place / "knarr.db")
    except Exception as error:
        return {f"does not open: {error!r}"}
    try:
        found = set(promised.broken(store))
    finally:
        await store.close()
    verdict = soundness(place / "knarr.db")
    return found | ({f"unsound: {verdict}"} if verdict != "ok" else set())


def soundness(database: Path) -> str:
    """What SQLite says of the file: "ok", or what is wrong, also when it is too broken to be looked through."""
    try:
        with contextlib.closing(sqlite3.connect(database)) as opened:
            return str(opened.execute("PRAGMA integrity_check").fetchone()[0])
    except sqlite3.DatabaseError as error:
        return str(error)


@pytest.fixture
def place() -> Iterator[Path]:
    """Where a disk is judged: in memory where there is that, for its own fsyncs prove nothing."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as directory:
        yield Path(directory) / "found"


def test_the_judge_names_what_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "knarr.db").write_bytes(b"x" * 4096)
    assert "not a database" in soundness(tmp_path / "knarr.db")


async def test_what_was_acknowledged_is_there_and_the_store_is_sound(recorded: Recorded, place: Path) -> None:
    assert {act.call for act in recorded.acts} >= {"pwrite64", "fsync"}
    assert await faults(recorded, place, IMAGES, lambda _: True) == set()


@pytest.mark.parametrize("folder", ["knarr.db-wal", "store"])
async def test_the_judge_sees_a_missing_fsync(recorded: Recorded, place: Path, folder: str) -> None:
    def kept(act: Act) -> bool:
        return not (act.call == "fsync" and act.paths[0].endswith(f"/{folder}"))

    found = await faults(recorded, place, 150, kept)
    assert any(each.startswith(("lost", "the revision", "unsound", "does not open")) for each in found), found
