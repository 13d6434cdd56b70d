"""The contract of a snapshotter: chains of committed snapshots with writable ones on top."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from knarr.base.errors import AlreadyExists, Conflict, Invalid, NotFound
from knarr.images import mounting
from knarr.images.content import Snapshotter
from knarr.images.memory_snapshots import MemorySnapshots
from knarr.images.overlay import OverlaySnapshots


@pytest.fixture(params=["overlay", "memory"])
def snapshots(request: pytest.FixtureRequest, tmp_path: Path) -> Snapshotter:
    return OverlaySnapshots(tmp_path) if request.param == "overlay" else MemorySnapshots(tmp_path)


def test_a_snapshot_is_writable_until_it_is_committed(snapshots: Snapshotter) -> None:
    assert snapshots.prepare("draft", "") == snapshots.mounts("draft")
    (snapshots.upper("draft") / "file").write_text("x")
    snapshots.commit("draft", "base")
    assert (snapshots.has("draft"), snapshots.has("base")) == (False, True)
    assert (snapshots.upper("base") / "file").read_text() == "x"
    assert "ro" in snapshots.mounts("base")[0].options


def test_a_child_adds_to_its_parent_alone(snapshots: Snapshotter) -> None:
    snapshots.prepare("draft", "")
    (snapshots.upper("draft") / "file").write_text("x")
    snapshots.commit("draft", "base")
    snapshots.prepare("child", "base")
    assert list(snapshots.upper("child").iterdir()) == []


def test_names_are_taken_once(snapshots: Snapshotter) -> None:
    snapshots.prepare("a", "")
    with pytest.raises(AlreadyExists):
        snapshots.prepare("a", "")
    snapshots.commit("a", "base")
    snapshots.prepare("b", "")
    with pytest.raises(AlreadyExists):
        snapshots.commit("b", "base")
    assert snapshots.has("b")


def test_only_what_is_committed_can_be_a_parent(snapshots: Snapshotter) -> None:
    snapshots.prepare("a", "")
    with pytest.raises(Invalid):
        snapshots.prepare("b", "a")
    with pytest.raises(NotFound):
        snapshots.prepare("c", "nothing")
    assert not snapshots.has("b")


def test_a_parent_cannot_go_before_its_children(snapshots: Snapshotter) -> None:
    snapshots.prepare("a", "")
    snapshots.commit("a", "base")
    snapshots.prepare("child", "base")
    with pytest.raises(Conflict):
        snapshots.remove("base")
    snapshots.remove("child")
    snapshots.remove("base")
    snapshots.remove("base")
    assert not snapshots.has("base")


def test_the_absent_is_not_found(snapshots: Snapshotter) -> None:
    for ask in (snapshots.mounts, snapshots.upper, snapshots.usage):
        with pytest.raises(NotFound):
            ask("nothing")
    with pytest.raises(NotFound):
        snapshots.commit("nothing", "base")


def test_usage_counts_what_the_snapshot_adds(snapshots: Snapshotter) -> None:
    snapshots.prepare("a", "")
    (snapshots.upper("a") / "dir").mkdir()
    (snapshots.upper("a") / "dir" / "file").write_bytes(b"x" * 8192)
    size, inodes = snapshots.usage("a")
    assert (size >= 8192, inodes) == (True, 3)


def test_snapshots_are_found_again_after_a_restart(tmp_path: Path) -> None:
    before = OverlaySnapshots(tmp_path)
    before.prepare("a", "")
    before.commit("a", "base")
    mounts = before.prepare("child", "base")
    after = OverlaySnapshots(tmp_path)
    assert (after.keys(), after.mounts("child"), after.parent("child")) == (("base", "child"), mounts, "base")
    after.prepare("other", "base")
    assert after.upper("other") != after.upper("child")


def test_after_a_power_loss_only_what_was_settled_is_trusted(tmp_path: Path) -> None:
    before = OverlaySnapshots(tmp_path, boot_id="first")
    before.prepare("a", "")
    before.commit("a", "settled")
    before.settle()
    before.prepare("b", "settled")
    before.commit("b", "fresh")
    before.prepare("container", "settled")
    before.prepare("lost", "fresh")
    assert OverlaySnapshots(tmp_path, boot_id="first").keys() == ("settled", "fresh", "container", "lost")
    assert OverlaySnapshots(tmp_path, boot_id="second").keys() == ("settled", "container")
    assert OverlaySnapshots(tmp_path, boot_id="second").keys() == ("settled", "container")


def test_a_snapshot_without_record_is_cleared_at_the_next_start(tmp_path: Path) -> None:
    before = OverlaySnapshots(tmp_path)
    before.prepare("a", "")
    (before.upper("a").parent / "record.json").unlink()
    after = OverlaySnapshots(tmp_path)
    assert after.keys() == ()
    assert list((tmp_path / "snapshots").iterdir()) == list((tmp_path / "l").iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize("depth", [1, 2, 140])
def test_a_chain_of_any_depth_mounts_as_one_file_system(tmp_path: Path, depth: int) -> None:
    snapshots = OverlaySnapshots(tmp_path / ("long" * 10))
    parent = ""
    for number in range(depth):
        snapshots.prepare("draft", parent)
        (snapshots.upper("draft") / f"file-{number}").write_text("x")
        parent = f"layer-{number}"
        snapshots.commit("draft", parent)
    target = tmp_path / "target"
    target.mkdir()
    mounting.mount(snapshots.prepare("top", parent), target)
    try:
        assert len(os.listdir(target)) == depth
        (target / "new").write_text("y")
    finally:
        mounting.unmount(target)
    assert os.listdir(snapshots.upper("top")) == ["new"]
    mounting.mount(snapshots.mounts(parent), target)
    try:
        with pytest.raises(OSError, match="Read-only"):
            (target / "new").write_text("y")
    finally:
        mounting.unmount(target)
        mounting.unmount(target)


def test_many_threads_share_one_snapshotter(tmp_path: Path) -> None:
    snapshots = OverlaySnapshots(tmp_path)
    snapshots.prepare("draft", "")
    snapshots.commit("draft", "base")

    def work(worker: int) -> None:
        for number in range(20):
            key = f"{worker}-{number}"
            snapshots.prepare(key, "base")
            if number % 2:
                snapshots.commit(key, f"layer-{key}")
                key = f"layer-{key}"
            snapshots.keys()
            with pytest.raises(Conflict):
                snapshots.remove("base")
            snapshots.remove(key)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert snapshots.keys() == ("base",)
    assert len(list((tmp_path / "snapshots").iterdir())) == 1
