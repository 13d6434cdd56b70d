"""A full disk refuses writes with a clear word, loses nothing acknowledged, and is forgiven once there is room."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from knarr.base.errors import Unavailable
from knarr.store.sqlite import SqliteStore

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small tmpfs")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a tmpfs cannot be mounted here")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


async def test_a_full_disk_is_told_and_forgiven(small_disk: Path) -> None:
    store = SqliteStore(small_disk / "knarr.db")
    acknowledged = await filled(store)
    with pytest.raises(Unavailable, match="no room"):
        await store.write("/again", b"x" * 4000, expect=None)
    assert len(store.list("/").entries) == len(acknowledged) > 10
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    last = await store.write("/again", b"x" * 4000, expect=None)
    assert last > acknowledged[-1]
    await store.close()
    store = SqliteStore(small_disk / "knarr.db")
    assert len(store.list("/").entries) == len(acknowledged) + 1
    assert store.revision == last
    await store.close()


async def test_with_a_reserve_deletions_go_on_and_everything_else_once_there_is_room(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    store = SqliteStore(small_disk / "knarr.db", reserve_bytes=1024 * 1024)
    acknowledged = await filled(store)
    going = b'{"metadata":{"deletionTimestamp":"2030-01-01T00:00:00Z"}}'
    with pytest.raises(Unavailable, match="takes deletions only"):
        await store.write("/again", b"x", expect=None)
    assert store.trouble() is not None

    for number in range(20):
        await store.write(f"/{number}", going, expect=None)
        await store.write(f"/{number}", None, expect=None)
    with pytest.raises(Unavailable, match="takes deletions only"):
        await store.write("/again", b"x", expect=None)
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    await store.write("/again", b"x", expect=None)

    assert len(store.list("/").entries) == len(acknowledged) - 20 + 1
    assert store.trouble() is None
    assert (small_disk / "knarr.db.reserve").stat().st_blocks * 512 >= 1024 * 1024
    await store.close()


async def filled(store: SqliteStore) -> list[int]:
    """The revisions of the writes that found room."""
    revisions: list[int] = []
    try:
        while len(revisions) < 10_000:
            revisions.append(await store.write(f"/{len(revisions)}", b"x" * 4000, expect=None))
    except Unavailable:
        return revisions
    raise AssertionError("the disk never became full")
