"""Trees are removed at any depth and width; links, mounts and what stands beside them stay."""

import contextlib
import ctypes
import os
from pathlib import Path

import pytest

from knarr.base.removal import drop_tree, remove_tree

_libc = ctypes.CDLL(None, use_errno=True)


def deepened(root: Path, depth: int) -> None:
    """Directories in each other, deeper than any path can say."""
    name = "inner" * 10
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)


def test_a_tree_deeper_than_calls_descriptors_and_paths_go_is_removed(tmp_path: Path) -> None:
    root = tmp_path / "deep"
    root.mkdir()
    deepened(root, 1100)
    remove_tree(root)
    assert list(tmp_path.iterdir()) == []


def test_a_wide_tree_is_removed_and_what_its_links_mean_stays(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "kept").mkdir(parents=True)
    root = tmp_path / "root"
    for number in range(30):
        (root / f"d{number}" / "e").mkdir(parents=True)
        (root / f"d{number}" / "f").touch()
        (root / f"d{number}" / "way").symlink_to(outside)
    (root / os.fsdecode(b"\xff")).mkdir()
    os.mkfifo(root / "fifo")
    remove_tree(root)
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert (outside / "kept").is_dir()


def test_the_absent_is_removed_already_and_a_link_is_no_tree(tmp_path: Path) -> None:
    remove_tree(tmp_path / "none")
    (tmp_path / "kept").mkdir()
    (tmp_path / "way").symlink_to("kept")
    with pytest.raises(NotADirectoryError):
        remove_tree(tmp_path / "way")
    drop_tree(tmp_path / "way")
    assert (tmp_path / "kept").is_dir()


def test_a_tree_is_named_beside_a_descriptor(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    directory = os.open(tmp_path, os.O_RDONLY)
    remove_tree("a", dir_fd=directory)
    os.close(directory)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize("place", ["mounted", "inner/mounted"])
def test_what_is_mounted_in_a_tree_is_not_emptied_and_the_rest_goes(tmp_path: Path, place: str) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (outside / "precious").touch()
    (root / place).mkdir(parents=True)
    (root / "a" / "b").mkdir(parents=True)
    bind = 4096
    if _libc.mount(os.fsencode(outside), os.fsencode(root / place), None, bind, None) != 0:
        pytest.skip("this place does not let root mount")
    try:
        with pytest.raises(OSError, match="busy"):
            remove_tree(root)
        assert (outside / "precious").exists()
        assert not (root / "a").exists()
    finally:
        mounted = next(path.parent for path in root.rglob("precious"))
        _libc.umount2(os.fsencode(mounted), 0)
    remove_tree(root)
    assert not root.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_what_cannot_be_moved_is_emptied_where_it_is_and_mounts_stay_there_too(tmp_path: Path) -> None:
    with contextlib.ExitStack() as mounts:
        mounted(mounts, "tmpfs", tmp_path)  # an overlay does not stand on every file system
        (tmp_path / "lower" / "root" / "a" / "b" / "c").mkdir(parents=True)
        (tmp_path / "lower" / "root" / "a" / "b" / "file").touch()
        (tmp_path / "lower" / "root" / "other" / "mounted").mkdir(parents=True)
        for name in ("upper", "work", "merged"):
            (tmp_path / name).mkdir()
        layers = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work,redirect_dir=off"
        mounted(mounts, "overlay", tmp_path / "merged", layers)
        root = tmp_path / "merged" / "root"
        with pytest.raises(OSError, match="cross-device"):
            (root / "a").rename(root / "z")
        with contextlib.ExitStack() as inner:
            mounted(inner, "tmpfs", root / "other" / "mounted")
            (root / "other" / "mounted" / "precious").touch()
            with pytest.raises(OSError, match="busy"):
                remove_tree(root)
            assert [str(path.relative_to(root)) for path in sorted(root.rglob("*"))] == [
                "other",
                "other/mounted",
                "other/mounted/precious",
            ]
        remove_tree(root)
        assert not root.exists()


def mounted(stack: contextlib.ExitStack, kind: str, place: Path, options: str = "") -> None:
    """Something mounted at a place until the stack ends."""
    if _libc.mount(kind.encode(), os.fsencode(place), kind.encode(), 0, options.encode()) != 0:
        pytest.skip(f"this place does not let root mount {kind}")
    stack.callback(_libc.umount2, os.fsencode(place), 0)
