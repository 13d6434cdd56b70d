"""System calls that look things up; what changes the machine is tested end to end."""

import os
import stat
from pathlib import Path

import pytest

from knarr.base import linux

BENEATH = linux.RESOLVE_BENEATH | linux.RESOLVE_NO_MAGICLINKS


def test_a_path_cannot_lead_out_of_its_directory(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "file").write_text("words")
    (tmp_path / "in" / "out").symlink_to("/etc")
    directory = os.open(tmp_path / "in", os.O_PATH)
    try:
        for path in ("..", "/etc/passwd", "out/passwd", "file\0name", "absent"):
            with pytest.raises(OSError, match=r"\[Errno"):
                linux.openat2(directory, path, os.O_RDONLY, BENEATH)
        for name in ("file", b"file"):
            opened = linux.openat2(directory, name, os.O_RDONLY, BENEATH)
            assert (os.read(opened, 9), os.get_inheritable(opened)) == (b"words", False)
            os.close(opened)
    finally:
        os.close(directory)


def test_mount_points_are_found_the_deepest_first() -> None:
    found = linux.mounts_below(Path("/"))
    assert found[-1] == Path("/") or Path("/") not in found
    assert [len(path.parts) for path in found] == sorted((len(path.parts) for path in found), reverse=True)
    assert linux.mounts_below(Path("/nothing/is/mounted/here")) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
def test_a_tmpfs_that_is_mounted_nowhere_is_seen_by_nobody() -> None:
    before = linux.mounts_below(Path("/"))
    tree = linux.detached_tmpfs()
    try:
        assert stat.S_ISDIR(os.stat(tree).st_mode)
        assert linux.mounts_below(Path("/")) == before
        with pytest.raises(OSError, match=r"\[Errno"):
            linux.map_ids(tree, tree)  # no user namespace
    finally:
        os.close(tree)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
def test_a_clone_follows_its_source_and_is_never_its_peer(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    for path in (source, target):
        path.mkdir()
    linux.mount(str(source), source, None, linux.MS_BIND)
    opened = []
    try:
        linux.mount("none", source, None, 1 << 20)  # MS_SHARED
        opened.append(os.open(source, os.O_PATH | os.O_CLOEXEC))
        opened.append(linux.clone(opened[0]))
        linux.attach(opened[1], target)
        [line] = [one for one in Path("/proc/self/mountinfo").read_text().splitlines() if f" {target} " in one]
        assert " master:" in line
        assert " shared:" not in line
    finally:
        for descriptor in opened:
            os.close(descriptor)
        for point in linux.mounts_below(tmp_path):
            linux.umount(point)
