"""Layers that try to write elsewhere, to forge overlay state, or to take all memory and disk: none gets through.

Every case unpacks into a directory beside a canary; whatever happens, nothing outside the directory may change. The
refused ones name the entry. What real images do (absolute links, whiteouts, replaced entries) works and is below.
"""

# ruff: noqa: E501  # one hostile archive is one line
import os
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from knarr.base.errors import Invalid, KnarrError, TooLarge
from knarr.images import extract, tar_reader
from knarr.images.unpack import unpack
from tests.unit.images.archive import (
    archive,
    directory,
    entry,
    hardlink,
    layer_file,
    pax_record,
    raw_pax,
    symlink,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners, devices and overlay attributes need root")
PASSWD = entry("x", b"hacked")


class Sandbox:
    """A directory to unpack into, and what lies around it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.upper = root / "snapshot" / "fs"
        self.upper.mkdir(parents=True)
        self.outside = root / "outside"
        self.outside.mkdir()
        (self.outside / "passwd").write_text("root")
        (root / "snapshot" / "passwd").write_text("root")
        self._before = self._around()

    def unpack(self, *entries: bytes, lowers: tuple[Path, ...] = ()) -> None:
        try:
            unpack(layer_file(self.root, *entries), self.upper, lowers)
        finally:
            (self.root / "layer.tar.gz").unlink()
            assert self._around() == self._before

    def refuse(self, *entries: bytes, kind: type[KnarrError] = Invalid, match: str = "layer") -> None:
        with pytest.raises(kind, match=match):
            self.unpack(*entries)

    def _around(self) -> list[tuple[str, int, int, int, bytes]]:
        found = []
        for path in [self.root, *sorted(self.root.rglob("*"))]:
            if self.upper in path.parents or path == self.upper:
                continue
            state = path.lstat()
            body = path.read_bytes() if stat.S_ISREG(state.st_mode) else b""
            found.append((str(path), state.st_mode, state.st_uid, state.st_nlink, body))
        return found

    def names(self) -> list[str]:
        return sorted(str(path.relative_to(self.upper)) for path in self.upper.rglob("*"))


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path)


REFUSED: dict[str, tuple[bytes, ...]] = {
    # Paths that climb out.
    "parent": (entry("../passwd", b"hacked"),),
    "parent deep": (entry("a/b/../../../passwd", b"hacked"),),
    "parent inside": (entry("a/../b", b"x"),),
    "parent absolute": (entry("/../../passwd", b"hacked"),),
    "parent at the end": (directory("a/.."),),
    "only parent": (directory(".."),),
    "parent symlink": (symlink("../link", "/"),),
    "parent hard link": (hardlink("../link", "x"),),
    "parent directory": (directory("../new"),),
    "parent in pax path": (entry("harmless", b"x", pax={"path": b"../passwd"}),),
    "parent in long name": (entry("a/" * 60 + "../" * 62 + "passwd", b"x"),),
    "parent in sparse name": (entry("ok", b"", pax={"GNU.sparse.name": b"../passwd", "GNU.sparse.map": b"", "GNU.sparse.size": b"0"}),),
    "empty name that is a file": (entry("", b"x"),),
    "dot that is a file": (entry(".", b"x"),),
    "slash that is a link": (symlink("/", "/etc"),),
    # Links as stepping stones.
    "file through absolute link": (symlink("etc", "/nonexistent-anywhere"), entry("etc/passwd", b"hacked")),
    "file through dangling parent link": (symlink("up", "../../.."), entry("up/nowhere/passwd/x", b"x"), entry("up/../y", b"x")),
    "file through link to file": (entry("f", b"x"), symlink("l", "f"), entry("l/x", b"x")),
    "file through link loop": (symlink("a", "b"), symlink("b", "a"), entry("a/x", b"x")),
    "file through file": (entry("f", b"x"), entry("f/x", b"x")),
    "file through magic link": (symlink("fd", "/proc/self/root"), entry("fd/tmp/knarr-canary", b"x")),
    "file through fifo": (entry("p", kind=tarfile.FIFOTYPE), entry("p/x", b"x")),
    "hard link out": (hardlink("link", "../passwd"),),
    "hard link out deep": (hardlink("a/link", "a/../../passwd"),),
    "hard link to nothing": (hardlink("link", "nothing"),),
    "hard link to itself": (hardlink("link", "link"),),
    "hard link absolute": (hardlink("link", "/etc/passwd"),),
    "hard link through link": (symlink("etc", "/etc"), hardlink("link", "etc/passwd")),
    "hard link to directory": (directory("d"), hardlink("link", "d")),
    "hard link to root": (hardlink("link", "/"),),
    "hard link to whiteout": (entry(".wh.gone"), hardlink("link", "gone")),
    "hard link to marker": (entry(".wh..wh..opq"), hardlink("link", ".wh..wh..opq")),
    # Whiteouts.
    "whiteout of parent": (entry(".wh..."),),
    "whiteout of parent deep": (directory("a"), entry("a/.wh..."),),
    "whiteout of self": (entry(".wh.."),),
    "whiteout of nothing": (entry(".wh."),),
    "whiteout with content below": (entry(".wh.a/x", b"x"),),
    "whiteout in parent": (entry("../.wh.passwd"),),
    "opaque in parent": (entry("../.wh..wh..opq"),),
    "opaque below a file": (entry("f", b"x"), entry("f/.wh..wh..opq")),
    "forged whiteout device": (entry("gone", kind=tarfile.CHRTYPE, device=(0, 0)),),
    # Devices and kinds.
    "disk": (entry("sda", kind=tarfile.BLKTYPE, device=(8, 0)),),
    "memory device": (entry("mem", kind=tarfile.CHRTYPE, device=(1, 1)),),
    "kmsg": (entry("kmsg", kind=tarfile.CHRTYPE, device=(1, 11)),),
    "unknown kind": (entry("odd", kind=b"Z"),),
    "multi-volume": (entry("odd", kind=b"M"),),
    # Attributes.
    "forged opaque": (directory("d"), entry("f", b"", pax={"SCHILY.xattr.trusted.overlay.opaque": b"y"})),
    "forged redirect": (entry("f", b"", pax={"SCHILY.xattr.trusted.overlay.redirect": b"/etc"}),),
    "forged metacopy": (entry("f", b"", pax={"SCHILY.xattr.trusted.overlay.metacopy": b""}),),
    "forged whiteout attribute": (entry("f", b"", pax={"SCHILY.xattr.trusted.overlay.whiteout": b"y"}),),
    "forged trusted attribute": (directory("d"), entry("d/f", b"", pax={"SCHILY.xattr.trusted.anything": b"y"})),
    "attribute too large": (entry("f", b"", pax={"SCHILY.xattr.user.large": b"x" * 70_000}),),
    "attribute name with nul": (entry("f", b"", pax={"SCHILY.xattr.user.a\0b": b"x"}),),
    "attribute name too long": (entry("f", b"", pax={"SCHILY.xattr.user." + "n" * 300: b"x"}),),
    "broken capability": (entry("f", b"", pax={"SCHILY.xattr.security.capability": b"nonsense"}),),
    # Names.
    "long component": (entry("a" * 256, b"x"),),
    "long path": (entry("a/" * 2100 + "x", b"x"),),
    "nul in pax path": (entry("x", b"x", pax={"path": b"a\0b"}),),
    "nul in pax link": (entry("x", kind=tarfile.SYMTYPE, pax={"linkpath": b"a\0b"}),),
    "empty link": (entry("x", kind=tarfile.SYMTYPE),),
    "long link": (entry("x", kind=tarfile.SYMTYPE, pax={"linkpath": b"a" * 4096}),),
    # Numbers.
    "owner too large": (entry("x", b"", pax={"uid": b"4294967296"}),),
    "owner that means nobody's change": (entry("x", b"", pax={"uid": b"4294967295"}),),
    "group that means nobody's change": (entry("x", b"", pax={"gid": b"4294967295"}),),
    "owner negative": (entry("x", b"", pax={"uid": b"-1"}),),
    "owner with underscore": (entry("x", b"", pax={"uid": b"1_0"}),),
    "owner in arabic digits": (entry("x", b"", pax={"uid": "\u0663".encode()}),),
    "size negative": (entry("x", b"", size=-512),),
    "size in pax is text": (entry("x", b"", pax={"size": b"many"}),),
    "time beyond all time": (entry("x", b"", pax={"mtime": b"99999999999999999999"}),),
    "time before all time": (directory("d"), entry("d/x", b"", pax={"mtime": b"-99999999999999999999"})),
    "time is text": (entry("x", b"", pax={"mtime": b"now"}),),
    "sparse beyond its size": (entry("x", b"abc", pax={"GNU.sparse.map": b"0,3", "GNU.sparse.size": b"2"}),),
    "sparse overlapping": (entry("x", b"abcdef", pax={"GNU.sparse.map": b"0,3,1,3", "GNU.sparse.size": b"9"}),),
    "sparse lying": (entry("x", b"abc", pax={"GNU.sparse.map": b"0,9", "GNU.sparse.size": b"9"}),),
    "sparse odd map": (entry("x", b"abc", pax={"GNU.sparse.map": b"0,3,4", "GNU.sparse.size": b"9"}),),
    "sparse map of words": (entry("x", b"abc", pax={"GNU.sparse.map": b"a,b", "GNU.sparse.size": b"9"}),),
    "sparse map in content broken": (entry("x", b"x" * 512, pax={"GNU.sparse.major": b"1", "GNU.sparse.realsize": b"9"}),),
    "sparse of old kind": (entry("x", b"", pax={"GNU.sparse.numblocks": b"1"}),),
    # Headers.
    "no tar": (b"this is no archive at all".ljust(512, b"!"),),
    "broken checksum": (entry("x", b"x")[:148] + b"00000000" + entry("x", b"x")[156:],),
    "cut in a header": (entry("x", b"x") + entry("y")[:140],),
    "pax cut short": (raw_pax(pax_record(b"path", b"abc")[:-3]), PASSWD),
    "pax length zero": (raw_pax(b"0 path=x\n"), PASSWD),
    "pax length too long": (raw_pax(b"99 path=x\n"), PASSWD),
    "pax without equals": (raw_pax(b"9 pathxx\n"), PASSWD),
    "pax without length": (raw_pax(b"path=x\n"), PASSWD),
    "extensions without end": (raw_pax(pax_record(b"comment", b"x")) * 20, PASSWD),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_hostile_layer_is_refused_and_changes_nothing_outside(sandbox: Sandbox, case: str) -> None:
    sandbox.refuse(*REFUSED[case])
    assert not Path("/tmp/knarr-canary").exists()


def test_the_refused_entry_is_named(sandbox: Sandbox) -> None:
    sandbox.refuse(entry("ok", b"x"), entry("a/../../b", b"x"), match=r"'a/\.\./\.\./b'.*leads out")
    sandbox.refuse(entry("dev/sda", kind=tarfile.BLKTYPE, device=(8, 0)), match="'dev/sda'.*8:0")
    sandbox.refuse(entry(b"\x1b[31m\xff.\n/..", b"x"), match=r"\\x1b\[31m")


def test_a_file_that_is_cut_short_is_refused(sandbox: Sandbox) -> None:
    body = archive(entry("x", b"y" * 5000))[:3000]
    layer = sandbox.root / "cut.tar"
    layer.write_bytes(body)
    with pytest.raises(Invalid, match="cut short"):
        unpack(layer, sandbox.upper)


def test_absolute_names_and_links_stay_inside(sandbox: Sandbox) -> None:
    sandbox.unpack(
        entry("/etc/passwd", b"mine"), symlink("abs", f"{sandbox.outside}/passwd"), symlink("up", "../../passwd")
    )
    assert (sandbox.upper / "etc/passwd").read_bytes() == b"mine"
    assert os.readlink(sandbox.upper / "abs") == f"{sandbox.outside}/passwd"


def test_a_link_is_followed_inside_the_root_only(sandbox: Sandbox) -> None:
    sandbox.unpack(
        directory("etc"), symlink("a", "/etc"), symlink("b", "../../../etc"), entry("a/x", b"1"), entry("b/y", b"2")
    )
    assert sandbox.names() == ["a", "b", "etc", "etc/x", "etc/y"]


def test_a_file_replaces_a_link_and_is_not_written_through_it(sandbox: Sandbox) -> None:
    sandbox.unpack(symlink("x", str(sandbox.outside / "passwd")), entry("x", b"mine"))
    assert (sandbox.upper / "x").read_bytes() == b"mine"
    assert not (sandbox.upper / "x").is_symlink()


def test_a_file_replaces_a_hard_link_and_leaves_the_other_name_alone(sandbox: Sandbox) -> None:
    sandbox.unpack(entry("a", b"first"), hardlink("b", "a"), entry("b", b"second", mode=0o4755))
    assert (sandbox.upper / "a").read_bytes() == b"first"
    assert stat.S_IMODE((sandbox.upper / "a").stat().st_mode) == 0o644


def test_a_directory_replaces_a_link_to_a_directory(sandbox: Sandbox) -> None:
    sandbox.unpack(symlink("d", str(sandbox.outside)), directory("d", mode=0o700), entry("d/x", b"mine"))
    assert sandbox.names() == ["d", "d/x"]


def test_modes_and_owners_never_go_through_a_link(sandbox: Sandbox) -> None:
    sandbox.unpack(
        symlink("l", str(sandbox.outside / "passwd")), entry("l", kind=tarfile.SYMTYPE, link="/etc", mode=0o777, uid=99)
    )
    assert (sandbox.upper / "l").lstat().st_uid == 99


def test_a_later_entry_wins(sandbox: Sandbox) -> None:
    sandbox.unpack(directory("a"), entry("a/b", b"1"), entry("a", b"now a file"), directory("c"), symlink("c", "a"))
    assert sandbox.names() == ["a", "c"]


def test_names_that_differ_in_case_are_two(sandbox: Sandbox) -> None:
    sandbox.unpack(entry("README", b"1"), entry("readme", b"2"))
    assert sandbox.names() == ["README", "readme"]


def test_long_and_odd_names_are_kept(sandbox: Sandbox) -> None:
    long = "/".join(["d" * 200] * 10)
    sandbox.unpack(entry(f"{long}/f", b"x"), entry("a" * 255, b"x"), entry(b"\xff\xfe", b"x"), entry("new\nline", b"x"))
    assert (sandbox.upper / long / "f").exists()
    assert {b"\xff\xfe", b"new\nline", b"a" * 255} <= set(os.listdir(os.fsencode(sandbox.upper)))


def test_the_devices_of_base_images_are_made(sandbox: Sandbox) -> None:
    sandbox.unpack(directory("dev"), entry("dev/null", kind=tarfile.CHRTYPE, device=(1, 3), mode=0o666))
    made = (sandbox.upper / "dev/null").stat()
    assert (stat.S_ISCHR(made.st_mode), made.st_rdev, stat.S_IMODE(made.st_mode)) == (True, os.makedev(1, 3), 0o666)


def test_a_fifo_has_no_device_whatever_its_header_says(sandbox: Sandbox) -> None:
    sandbox.unpack(entry("p", kind=tarfile.FIFOTYPE, device=(2**20, 2**20)))
    assert stat.S_ISFIFO((sandbox.upper / "p").lstat().st_mode)


def test_attributes_that_are_allowed_are_set_and_others_left_out(sandbox: Sandbox) -> None:
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    attributes = {
        "user.note": b"a\0b",
        "security.capability": capability,
        "security.selinux": b"x",
        "user.overlay.opaque": b"y",
    }
    sandbox.unpack(entry("f", b"x", mode=0o4755, uid=7, pax={f"SCHILY.xattr.{k}": v for k, v in attributes.items()}))
    path = sandbox.upper / "f"
    assert os.getxattr(path, "user.note") == b"a\0b"
    assert os.getxattr(path, "security.capability") == capability
    assert "user.overlay.opaque" not in os.listxattr(path)
    assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_uid) == (0o4755, 7)


def test_a_whiteout_becomes_a_device_and_an_opaque_directory_an_attribute(sandbox: Sandbox) -> None:
    sandbox.unpack(entry("a/.wh.gone"), entry("b/.wh..wh..opq"), entry("b/new", b"x"), entry(".wh..wh.plnk"))
    gone = (sandbox.upper / "a/gone").lstat()
    assert (stat.S_ISCHR(gone.st_mode), gone.st_rdev) == (True, 0)
    assert os.getxattr(sandbox.upper / "b", extract.OPAQUE) == b"y"
    assert sandbox.names() == ["a", "a/gone", "b", "b/new"]


def test_a_whiteout_hides_nothing_of_its_own_layer(sandbox: Sandbox) -> None:
    sandbox.unpack(
        entry("f", b"new"),
        entry(".wh.f"),
        directory("d"),
        entry("d/x", b"x"),
        entry(".wh.d"),
        entry(".wh.e"),
        directory("e"),
    )
    assert (sandbox.upper / "f").read_bytes() == b"new"
    assert (sandbox.upper / "d/x").exists()
    assert [os.getxattr(sandbox.upper / name, extract.OPAQUE) for name in "de"] == [b"y", b"y"]


def test_implied_directories_are_as_the_layer_below_has_them(sandbox: Sandbox, tmp_path: Path) -> None:
    lower = tmp_path / "snapshot" / "fs" / "lower"
    (lower / "tmp").mkdir(parents=True)
    (lower / "tmp").chmod(0o1777)
    os.chown(lower / "tmp", 5, 6)
    upper = sandbox.upper / "upper"
    upper.mkdir()
    unpack(layer_file(tmp_path / "snapshot" / "fs", entry("tmp/new/f", b"x")), upper, [lower])
    states = [(upper / name).stat() for name in ("tmp", "tmp/new")]
    assert [(stat.S_IMODE(s.st_mode), s.st_uid, s.st_gid) for s in states] == [(0o1777, 5, 6), (0o755, 0, 0)]


def test_a_hard_link_to_a_layer_below_brings_the_file_up(sandbox: Sandbox, tmp_path: Path) -> None:
    lower, upper = sandbox.upper / "lower", sandbox.upper / "upper"
    lower.mkdir()
    upper.mkdir()
    (lower / "f").write_text("below")
    (lower / "f").chmod(0o751)
    (lower / "evil").symlink_to(sandbox.outside / "passwd")
    unpack(layer_file(sandbox.upper, hardlink("l", "f")), upper, [lower])
    assert ((upper / "l").read_text(), stat.S_IMODE((upper / "l").stat().st_mode)) == ("below", 0o751)
    with pytest.raises(Invalid):
        unpack(layer_file(sandbox.upper, hardlink("m", "evil")), upper, [lower])


SPARSE: dict[str, Callable[[], bytes]] = {
    "map in the header": lambda: entry("s", b"abXY", pax={"GNU.sparse.map": b"1,2,5,2", "GNU.sparse.size": b"9"}),
    "map in the content": lambda: entry(
        "s", b"2\n1\n2\n5\n2\n".ljust(512, b"\0") + b"abXY",
        pax={"GNU.sparse.major": b"1", "GNU.sparse.minor": b"0", "GNU.sparse.realsize": b"9"},
    ),
    "old GNU": lambda: old_sparse(b"abXY", ((1, 2), (5, 2)), 9),
}  # fmt: skip


@pytest.mark.parametrize("form", SPARSE)
def test_sparse_files_unpack_to_their_real_size(sandbox: Sandbox, form: str) -> None:
    sandbox.unpack(SPARSE[form](), entry("after", b"x"))
    assert (sandbox.upper / "s").read_bytes() == b"\0ab\0\0XY\0\0"
    assert (sandbox.upper / "after").read_bytes() == b"x"


def old_sparse(content: bytes, extents: tuple[tuple[int, int], ...], size: int) -> bytes:
    block = bytearray(entry("s", content, kind=tarfile.GNUTYPE_SPARSE)[:512])
    for number, (offset, length) in enumerate(extents):
        block[386 + 24 * number : 410 + 24 * number] = b"%011o\0%011o\0" % (offset, length)
    block[483:495] = b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + content.ljust(512, b"\0")


def test_more_entries_than_the_limit_are_refused(sandbox: Sandbox, tmp_path: Path) -> None:
    extractor = extract.Extractor(str(sandbox.upper), entries_max=10)
    body = archive(*(directory(f"d{number}") for number in range(11)))
    reader = tar_reader.TarReader(Slices(body).read)
    try:
        with pytest.raises(TooLarge, match="more than 10 entries"):
            extractor.apply(reader)
    finally:
        extractor.close()


def test_a_file_that_claims_more_than_the_limit_is_refused_before_it_is_written(sandbox: Sandbox) -> None:
    sandbox.refuse(entry("x", b"", size=1 << 37), kind=TooLarge, match="'x'")
    sandbox.refuse(
        entry("s", b"", pax={"GNU.sparse.map": b"", "GNU.sparse.size": b"%d" % (1 << 60)}), kind=TooLarge, match="'s'"
    )


class Slices:
    """Bytes as a reader."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._place = 0

    def read(self, size: int) -> bytes:
        self._place += size
        return self._body[self._place - size : self._place]
