"""Tar archives by hand, so that they can be wrong: entries as raw headers, not as tarfile would write them."""

import gzip
import tarfile
from pathlib import Path

BLOCK = 512


def entry(
    name: str | bytes,
    content: bytes = b"",
    *,
    kind: bytes = tarfile.REGTYPE,
    link: str = "",
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    size: int | None = None,
    device: tuple[int, int] = (0, 0),
    pax: dict[str, bytes] | None = None,
) -> bytes:
    """One member. `size` may lie; `pax` goes into an extension header before it."""
    header = tarfile.TarInfo(name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name)
    header.type, header.linkname, header.mode, header.uid, header.gid = kind, link, mode, uid, gid
    header.size = len(content) if size is None else size
    header.devmajor, header.devminor = device
    header.mtime = 1_500_000_000
    head = header.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    return (pax_header(pax) if pax else b"") + head + padded(content)


def directory(name: str, **fields: int) -> bytes:
    return entry(name, kind=tarfile.DIRTYPE, mode=fields.get("mode", 0o755), uid=fields.get("uid", 0))


def symlink(name: str, target: str) -> bytes:
    return entry(name, kind=tarfile.SYMTYPE, link=target)


def hardlink(name: str, target: str) -> bytes:
    return entry(name, kind=tarfile.LNKTYPE, link=target)


def pax_header(records: dict[str, bytes]) -> bytes:
    return raw_pax(b"".join(pax_record(key.encode(), value) for key, value in records.items()))


def pax_record(key: bytes, value: bytes) -> bytes:
    body = b" " + key + b"=" + value + b"\n"
    length = len(body) + len(str(len(body)))
    while len(str(length)) + len(body) != length:
        length = len(str(length)) + len(body)
    return str(length).encode() + body


def raw_pax(text: bytes, kind: bytes = tarfile.XHDTYPE) -> bytes:
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = kind, len(text)
    return header.tobuf(tarfile.USTAR_FORMAT) + padded(text)


def padded(content: bytes) -> bytes:
    return content + b"\0" * (-len(content) % BLOCK)


def archive(*entries: bytes) -> bytes:
    return b"".join(entries) + b"\0" * (2 * BLOCK)


def layer_file(directory: Path, *entries: bytes, packed: bool = True) -> Path:
    """A layer file of these entries."""
    path = directory / "layer.tar.gz"
    body = archive(*entries)
    path.write_bytes(gzip.compress(body, 1) if packed else body)
    return path
