"""Packing a snapshot and unpacking it again gives the same files; the same files give the same bytes."""

import gzip
import io
import os
import random
import socket
import stat
import tarfile
from pathlib import Path

import pytest

from knarr.base.errors import Invalid
from knarr.base.removal import remove_tree
from knarr.images import extract, layer_diff
from knarr.images.local_content import LocalContent
from knarr.images.unpack import unpack

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="owners, devices and overlay attributes need root")


def make_tree(root: Path, seed: int = 1, *, shuffled: bool = False) -> None:
    """A tree with every kind of file that a layer can hold."""
    chance = random.Random(seed)
    steps = [
        lambda: (root / "dir").mkdir(),
        lambda: (root / "empty").mkdir(mode=0o700),
        lambda: (root / "text").write_text("hello"),
        lambda: (root / "big").write_bytes(random.Random(seed).randbytes(3 << 20)),
        lambda: os.symlink("/absolute/target", root / "link"),
        lambda: os.mkfifo(root / "fifo"),
        lambda: (root / ("n" * 150)).mkdir(),
        lambda: (root / os.fsdecode(b"\xff-latin")).write_text("x"),
    ]
    if shuffled:
        chance.shuffle(steps)
    for step in steps:
        step()
    (root / "dir" / "inner").write_text("x")
    (root / ("n" * 150) / ("m" * 150)).write_text("long")
    os.link(root / "text", root / "dir" / "hard")
    (root / "text").chmod(0o4755)
    for path in [*sorted(root.rglob("*"), reverse=True)]:
        os.utime(path, (1_500_000_000, 1_500_000_000), follow_symlinks=False)


def state(root: Path) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for path in sorted(root.rglob("*")):
        seen = path.lstat()
        body = path.read_bytes() if stat.S_ISREG(seen.st_mode) else os.readlink(path) if path.is_symlink() else b""
        attributes = {} if path.is_symlink() else {name: os.getxattr(path, name) for name in os.listxattr(path)}
        place = str(path.relative_to(root))
        found.append(
            (place, seen.st_mode, seen.st_uid, seen.st_gid, int(seen.st_mtime), seen.st_rdev, body, attributes)
        )
    return found


@needs_root
def test_a_packed_snapshot_unpacks_to_the_same_files(tmp_path: Path) -> None:
    upper, again = tmp_path / "upper", tmp_path / "again"
    upper.mkdir()
    again.mkdir()
    make_tree(upper)
    os.mknod(upper / "gone", stat.S_IFCHR, 0)
    os.setxattr(upper / "empty", extract.OPAQUE, b"y")
    os.setxattr(upper / "dir" / "inner", "user.note", b"\0\xff=\n")
    os.chown(upper / "dir", 70_000, 3_000_000)
    os.utime(upper / "gone", (0, 0))
    content = LocalContent(tmp_path / "content")
    layer = layer_diff.pack(upper, content)
    unpacked = unpack(content.path(layer.descriptor.digest), again)
    assert unpacked.diff_id == layer.diff_id
    os.utime(again / "gone", (0, 0))
    assert state(again) == state(upper)
    assert (again / "text").stat().st_ino == (again / "dir" / "hard").stat().st_ino


def test_the_same_files_made_in_another_order_are_the_same_layer(tmp_path: Path) -> None:
    content = LocalContent(tmp_path / "content")
    layers = []
    for number in range(2):
        upper = tmp_path / str(number)
        upper.mkdir()
        make_tree(upper, shuffled=number == 1)
        layers.append(layer_diff.pack(upper, content))
    assert layers[0] == layers[1]


def test_times_are_bounded_by_the_source_date(tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    upper.mkdir()
    (upper / "new").write_text("x")
    (upper / "old").write_text("x")
    os.utime(upper / "old", (5, 5))
    content = LocalContent(tmp_path / "content")
    layer = layer_diff.pack(upper, content, mtime_max=1000)
    with tarfile.open(content.path(layer.descriptor.digest)) as packed:
        assert {member.name: member.mtime for member in packed} == {"new": 1000, "old": 5}


def test_an_empty_snapshot_is_an_empty_layer(tmp_path: Path) -> None:
    (tmp_path / "upper").mkdir()
    content = LocalContent(tmp_path / "content")
    layer = layer_diff.pack(tmp_path / "upper", content)
    assert layer.is_empty
    assert gzip.decompress(content.path(layer.descriptor.digest).read_bytes()) == b"\0" * 10240


def test_sockets_are_left_out(tmp_path: Path) -> None:
    upper = tmp_path / "u"
    upper.mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(upper / "s"))
        layer = layer_diff.pack(upper, LocalContent(tmp_path / "c"))
    assert layer.is_empty


@needs_root
def test_other_tars_read_what_is_packed(tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    upper.mkdir()
    make_tree(upper)
    os.mknod(upper / "gone", stat.S_IFCHR, 0)
    content = LocalContent(tmp_path / "content")
    layer = layer_diff.pack(upper, content)
    body = content.path(layer.descriptor.digest).read_bytes()
    with tarfile.open(fileobj=io.BytesIO(body)) as packed:
        kinds = {member.name: member.type for member in packed}
    assert kinds[".wh.gone"] == tarfile.REGTYPE
    assert kinds["dir"] == kinds["empty"] == tarfile.DIRTYPE
    assert kinds["text"] == tarfile.LNKTYPE
    assert list(kinds) == sorted(kinds, key=lambda name: name.replace(".wh.", "").split("/"))


def deepened(root: Path, depth: int, name: str = "d") -> None:
    root.mkdir()
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(depth):
        os.mkdir(name, dir_fd=here)
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)


def test_a_tree_deeper_than_python_calls_go_is_packed_and_unpacked(tmp_path: Path) -> None:
    upper, target = tmp_path / "upper", tmp_path / "target"
    deepened(upper, 1010)
    target.mkdir()
    content = LocalContent(tmp_path / "content")
    layer = layer_diff.pack(upper, content)
    try:
        assert unpack(content.path(layer.descriptor.digest), target).diff_id == layer.diff_id
        assert (target / ("d/" * 1010)).is_dir()
    finally:
        remove_tree(upper)
        remove_tree(target)


def test_a_path_that_no_layer_can_hold_is_told(tmp_path: Path) -> None:
    deepened(tmp_path / "upper", 20, "d" * 250)
    try:
        with pytest.raises(Invalid, match=r"^/ddd.*…: the path is too long for a layer$"):
            layer_diff.pack(tmp_path / "upper", LocalContent(tmp_path / "content"))
    finally:
        remove_tree(tmp_path / "upper")
