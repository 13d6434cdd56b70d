"""Tar headers as bytes: ustar where it fits, with a PAX header before it where it does not (POSIX.1-2017 pax).

The same entry gives the same bytes with every Python version, because layer digests hang on them. Names are bytes of
the file system, carried as surrogateescape text. Numbers, names and attributes only; contents are the caller's.
"""

import tarfile

_NUMBER_MAX = 0o7777777
_SIZE_MAX = 0o77777777777
_NAME_MAX = 100


def header_bytes(header: tarfile.TarInfo) -> bytes:
    """The header blocks of one entry; `pax_headers` are written as they are."""
    name = header.name + "/" if header.type == tarfile.DIRTYPE else header.name
    path, link = name.encode("utf-8", "surrogateescape"), header.linkname.encode("utf-8", "surrogateescape")
    records = [(key.encode(), text.encode("utf-8", "surrogateescape")) for key, text in header.pax_headers.items()]
    if len(path) > _NAME_MAX or not path.isascii():
        records.append((b"path", path))
    if len(link) > _NAME_MAX or not link.isascii():
        records.append((b"linkpath", link))
    for key, number, bound in (
        (b"uid", header.uid, _NUMBER_MAX),
        (b"gid", header.gid, _NUMBER_MAX),
        (b"size", header.size, _SIZE_MAX),
        (b"mtime", int(header.mtime), _SIZE_MAX),
    ):
        if not 0 <= number <= bound:
            records.append((key, b"%d" % number))
    block = _block(header, path[:_NAME_MAX], link[:_NAME_MAX])
    return _pax(sorted(records)) + block if records else block


def _block(header: tarfile.TarInfo, path: bytes, link: bytes) -> bytes:
    """One ustar header block; numbers that do not fit are 0 here and stand in the PAX header."""
    start = b"%-100b%07o\0%07o\0%07o\0%011o\0%011o\0" % (
        path,
        header.mode & 0o7777,
        _fitting(header.uid, _NUMBER_MAX),
        _fitting(header.gid, _NUMBER_MAX),
        _fitting(header.size, _SIZE_MAX),
        _fitting(int(header.mtime), _SIZE_MAX),
    )
    start = path.ljust(_NAME_MAX, b"\0") + start[_NAME_MAX:]
    end = (
        header.type
        + link.ljust(_NAME_MAX, b"\0")
        + b"ustar\x0000"
        + bytes(64)
        + b"%07o\0%07o\0" % (header.devmajor, header.devminor)
        + bytes(167)
    )
    return b"%b%06o\0 %b" % (start, sum(start) + sum(end) + 8 * 0x20, end)


def _fitting(number: int, bound: int) -> int:
    return number if 0 <= number <= bound else 0


def _pax(records: list[tuple[bytes, bytes]]) -> bytes:
    body = b"".join(_record(key, value) for key, value in records)
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size, header.mode = tarfile.XHDTYPE, len(body), 0
    return _block(header, b"././@PaxHeader", b"") + body + b"\0" * (-len(body) % tarfile.BLOCKSIZE)


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE\\n`, the length counting its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)
