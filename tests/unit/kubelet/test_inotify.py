"""kubelet/inotify.py: who is woken, and that many watches cost one descriptor."""

import asyncio
import os
from pathlib import Path

import pytest

from knarr.kubelet.inotify import Watch


async def test_only_who_watches_the_folder_is_woken(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    folders = [tmp_path / str(number) for number in range(300)]
    for folder in folders:
        folder.mkdir()
    watches = [Watch(folder) for folder in (*folders, folders[7])]
    (folders[7] / "file").write_text("x")
    async with asyncio.timeout(5):
        await watches[7].changed()
        await watches[300].changed()
    waiting = asyncio.ensure_future(watches[8].changed())
    done, _ = await asyncio.wait({waiting}, timeout=0.05)
    assert not done
    waiting.cancel()
    assert len(os.listdir("/proc/self/fd")) == before + 1
    for watch in watches:
        watch.close()
    assert len(os.listdir("/proc/self/fd")) == before


async def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        Watch(tmp_path / "none")
    assert len(os.listdir("/proc/self/fd")) == before
