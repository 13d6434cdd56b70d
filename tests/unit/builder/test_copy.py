"""COPY into a root file system: attributes stay, links lead nowhere outside, and keys tell files apart."""

import os
import socket
import stat
import struct
from pathlib import Path

import pytest

from knarr.base.errors import Invalid
from knarr.builder import cache_keys
from knarr.builder.dockerfile import ignore
from knarr.builder.operations import CopyFiles
from knarr.builder.rootfs import Rootfs
from knarr.builder.steps import copy
from knarr.builder.trees import select

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners and capabilities need root")
# Version 2, effective; CAP_NET_BIND_SERVICE permitted (linux/capability.h).
CAPABILITY = struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    root.mkdir()
    (root / "server").write_bytes(b"program")
    (root / "server").chmod(0o755)
    try:
        os.setxattr(root / "server", "security.capability", CAPABILITY)
        os.setxattr(root / "server", "user.note", b"kept")
    except OSError:
        pytest.skip("this file system has no attributes")
    return root


def copied(source: Path, target: Path, operation: CopyFiles) -> str:
    """Copies, and answers the key of what was selected."""
    tree, rootfs = Rootfs(source), Rootfs(target)
    try:
        picks = select(tree, operation.sources, ignore.of(operation.exclude))
        copy.copy_picks(rootfs, tree, picks, operation)
        return cache_keys.content_key(tree, picks)
    finally:
        tree.close()
        rootfs.close()


def test_capabilities_of_a_file_stay_whoever_gets_it(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    copied(source, target, CopyFiles("build", ("server",), "/bin/", chown="1000:1000"))
    made = target / "bin" / "server"
    assert os.getxattr(made, "security.capability") == CAPABILITY
    assert os.getxattr(made, "user.note") == b"kept"
    assert (made.stat().st_uid, made.stat().st_mode & 0o7777) == (1000, 0o755)


def test_files_that_differ_in_an_attribute_alone_have_other_keys(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    whole = CopyFiles("build", ("server",), "/")
    before = copied(source, target, whole)
    assert copied(source, target, whole) == before
    os.removexattr(source / "server", "security.capability")
    assert copied(source, target, whole) != before


def test_links_of_the_target_lead_to_places_inside_it(source: Path, tmp_path: Path) -> None:
    outside, target = tmp_path / "outside", tmp_path / "target"
    outside.mkdir()
    (target / "real").mkdir(parents=True)
    (target / "abs").symlink_to("/real")
    (target / "up").symlink_to("../../outside")
    (target / "server").symlink_to(outside / "victim")
    copied(source, target, CopyFiles("build", ("server",), "/abs/"))
    copied(source, target, CopyFiles("build", ("server",), "/server"))
    assert (target / "real" / "server").read_bytes() == b"program"
    assert not (target / "server").is_symlink()
    copied(source, target, CopyFiles("build", ("server",), "/up/"))
    assert list(outside.iterdir()) == []


def test_a_file_does_not_take_the_place_of_a_directory(source: Path, tmp_path: Path) -> None:
    (tmp_path / "target" / "bin" / "server").mkdir(parents=True)
    with pytest.raises(Invalid, match="a file cannot replace the directory"):
        copied(source, tmp_path / "target", CopyFiles("build", ("server",), "/bin/"))


def test_names_of_one_file_are_names_of_one_copy(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (source / "sub").mkdir()
    os.link(source / "server", source / "sub" / "again")
    os.link(source / "server", source / "third")
    (source / "alone").write_bytes(b"program")
    copied(source, target, CopyFiles("build", (".",), "/d/"))
    made = [(target / "d" / name).stat() for name in ("server", "sub/again", "third", "alone")]
    assert [found.st_nlink for found in made] == [3, 3, 3, 1]
    assert len({found.st_ino for found in made}) == 2
    copied(source, target, CopyFiles("build", ("sub/again",), "/d/third"))
    assert (target / "d" / "third").stat().st_nlink == 1


def test_a_copy_that_was_replaced_meanwhile_gets_no_more_names(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    for name in ("one", "two"):
        (source / name).mkdir()
    (source / "one" / "same").write_bytes(b"first")
    os.link(source / "one" / "same", source / "two" / "third")
    (source / "two" / "same").write_bytes(b"second")
    copied(source, target, CopyFiles("build", ("one", "two"), "/"))
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {"same": b"second", "third": b"first"}


def test_a_fifo_is_copied_and_nothing_waits_for_its_other_end(source: Path, tmp_path: Path) -> None:
    """As BuildKit and buildah do; a socket has no meaning without its server and stays behind."""
    target = tmp_path / "target"
    (target / "run").mkdir(parents=True)
    os.mkfifo(source / "pipe")
    os.chown(source / "pipe", 7, 8)
    os.chmod(source / "pipe", 0o640)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(source / "socket"))
        before = copied(source, target, CopyFiles("build", ("/",), "/run/"))
    found = (target / "run/pipe").lstat()
    assert stat.S_ISFIFO(found.st_mode)
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o640, 7, 8)
    assert not (target / "run/socket").exists()
    (source / "pipe").unlink()
    (source / "pipe").write_text("")
    (source / "pipe").chmod(0o640)
    os.chown(source / "pipe", 7, 8)
    assert copied(source, target, CopyFiles("build", ("/",), "/run/")) != before
