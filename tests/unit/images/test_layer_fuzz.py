"""Random damage to layers: the extractor succeeds or refuses with an error of ours, and touches nothing outside."""

import contextlib
import io
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from knarr.base.errors import KnarrError
from knarr.images import layer_diff
from knarr.images.memory_content import MemoryContent
from knarr.images.tar_reader import TarReader
from knarr.images.unpack import unpack_from
from tests.unit.images.archive import archive, directory, entry, hardlink, symlink

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="owners, devices and overlay attributes need root")
WHOLE = archive(
    directory("d"),
    entry("d/file", b"content" * 100, mode=0o4755, uid=5),
    symlink("up", "../../../outside"),
    entry("up2/.wh.gone"),
    hardlink("hard", "d/file"),
    entry("p" * 120, b"x", pax={"SCHILY.xattr.user.a": b"b", "mtime": b"12.5"}),
    entry("s", b"abXY", pax={"GNU.sparse.map": b"1,2,5,2", "GNU.sparse.size": b"9"}),
    entry("fifo", kind=tarfile.FIFOTYPE),
)
names = st.sampled_from(
    ["a", "b", "a/b", "a/b/c", "a/../b", "../a", "/a", ".wh.a", "a/.wh..wh..opq", "a/.wh.b", ".", ""]
)
kinds = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
targets = st.sampled_from(["a", "b", "a/b", "..", "../../outside", "/", "/tmp", "a/../..", "."])
members = st.builds(
    lambda name, kind, target, body: entry(name, body if kind == tarfile.REGTYPE else b"", kind=kind, link=target),
    names,
    kinds,
    targets,
    st.binary(max_size=40),
)


def unpack_beside_a_canary(body: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory_name:
        root = Path(directory_name)
        upper, canary = root / "a" / "upper", root / "outside"
        upper.mkdir(parents=True)
        canary.write_text("root")
        with contextlib.suppress(KnarrError):
            unpack_from(io.BytesIO(body), upper)
        assert canary.read_text() == "root"
        assert sorted(os.listdir(root)) == ["a", "outside"]
        assert os.listdir(root / "a") == ["upper"]
        shutil.rmtree(upper)


@settings(max_examples=150)
@given(place=st.integers(0, len(WHOLE) - 1), byte=st.integers(0, 255), end=st.integers(0, len(WHOLE)))
def test_a_damaged_layer_is_refused_or_harmless(place: int, byte: int, end: int) -> None:
    body = bytearray(WHOLE)
    body[place] = byte
    header = place - place % 512
    if byte % 2 and place % 512 < 500:  # half of them with a checksum that is right again
        block = body[header : header + 512]
        block[148:156] = b" " * 8
        body[header + 148 : header + 156] = b"%06o\0 " % sum(block)
    unpack_beside_a_canary(bytes(body))
    unpack_beside_a_canary(bytes(body[:end]))


@settings(max_examples=150)
@given(st.lists(members, max_size=8))
def test_any_order_of_entries_is_refused_or_harmless(entries: list[bytes]) -> None:
    unpack_beside_a_canary(archive(*entries))


@settings(max_examples=60)
@given(st.lists(members, max_size=8))
def test_what_unpacks_packs_and_unpacks_to_the_same_layer(entries: list[bytes]) -> None:
    content = MemoryContent()
    with tempfile.TemporaryDirectory() as directory_name:
        first, second = Path(directory_name) / "1", Path(directory_name) / "2"
        first.mkdir()
        second.mkdir()
        with contextlib.suppress(KnarrError):
            unpack_from(io.BytesIO(archive(*entries)), first)
        layer = layer_diff.pack(first, content)
        with open(content.path(layer.descriptor.digest), "rb") as packed:
            assert unpack_from(packed, second).diff_id == layer.diff_id
        assert layer_diff.pack(second, content).diff_id == layer.diff_id
    content.close()


@settings(max_examples=200)
@given(st.binary(max_size=2000))
def test_any_bytes_are_no_reason_to_crash(body: bytes) -> None:
    reader = TarReader(io.BytesIO(body + bytes(512)).read)
    with contextlib.suppress(KnarrError):
        for _ in reader:
            reader.content(1 << 20)
