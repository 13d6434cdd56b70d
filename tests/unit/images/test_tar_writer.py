"""Tar headers: read back by the standard library and by our own reader as they were meant."""

import io
import tarfile

from hypothesis import given, settings
from hypothesis import strategies as st

from knarr.images.tar_reader import TarReader
from knarr.images.tar_writer import header_bytes

names = st.binary(min_size=1, max_size=200).filter(
    lambda name: not name.startswith(b"/") and not name.endswith(b"/") and b"\0" not in name
)
KINDS = (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE)


@settings(max_examples=200)
@given(
    name=names,
    link=names,
    kind=st.sampled_from(KINDS),
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 2**32 - 2),
    mtime=st.integers(0, 2**40),
    value=st.binary(max_size=120),
)
def test_a_header_is_read_back_by_two_readers(
    name: bytes, link: bytes, kind: bytes, mode: int, uid: int, mtime: int, value: bytes
) -> None:
    header = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
    header.type, header.mode, header.uid, header.gid, header.mtime = kind, mode, uid, uid // 2, mtime
    header.devmajor, header.devminor = (1, 3) if kind == tarfile.CHRTYPE else (0, 0)
    if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        header.linkname = link.decode("utf-8", "surrogateescape")
    header.pax_headers = {"SCHILY.xattr.user.x": value.decode("utf-8", "surrogateescape")}
    blocks = header_bytes(header)
    body = io.BytesIO(blocks + bytes(1024))
    [ours] = list(TarReader(body.read))
    assert (ours.name.rstrip(b"/"), ours.kind, ours.mode, ours.uid, ours.gid, ours.mtime) == (
        (name, kind, mode, uid, uid // 2, mtime)
    )
    assert ours.link == header.linkname.encode("utf-8", "surrogateescape")
    assert (ours.device, ours.xattrs) == ((header.devmajor, header.devminor), {"user.x": value})
    body.seek(0)
    with tarfile.open(fileobj=body) as archive:
        [theirs] = archive.getmembers()
    assert (theirs.name, theirs.type, theirs.uid, theirs.mtime) == (header.name, kind, uid, mtime)


def test_an_ordinary_entry_needs_one_block() -> None:
    header = tarfile.TarInfo("usr/bin/x")
    header.size, header.uid = 8 << 30, 0o7777777
    header.size -= 1
    assert len(header_bytes(header)) == tarfile.BLOCKSIZE
    header.size += 1
    assert len(header_bytes(header)) == 3 * tarfile.BLOCKSIZE


def test_lengths_of_pax_records_count_their_own_digits() -> None:
    for size in (*range(1, 120), *range(985, 1000)):
        header = tarfile.TarInfo("x")
        header.pax_headers = {"SCHILY.xattr.user.x": "v" * size}
        [entry] = list(TarReader(io.BytesIO(header_bytes(header) + bytes(1024)).read))
        assert entry.xattrs == {"user.x": b"v" * size}
