"""kill -9 under load, many times: what was acknowledged is there after the next start."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

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
