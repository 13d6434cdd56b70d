"""Tar archives as a stream of entries: ustar, PAX, GNU long names, sparse files (POSIX.1-2017 pax; GNU tar manual).

Only block headers are parsed by the standard library (tarfile.TarInfo.frombuf); names, sizes, extended attributes and
sparse maps are checked here and nothing is written. Extraction is images/unpack.py. Everything that contradicts itself
is Invalid with the entry named.
"""

import re
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from knarr.base.errors import Invalid, TooLarge

BLOCK = 512
_HEADER_SIZE_MAX = 1 << 20
_EXTENSIONS_MAX = 16
_XATTR_PREFIX = b"SCHILY.xattr."
_ID_MAX = (1 << 32) - 2
"""The id above it means "leave the owner as it is" to chown(2)."""
_TIME_MAX = 1 << 40
"""Seconds; some 35,000 years, and far from what a system call cannot take."""
_DECIMAL = re.compile(rb"[0-9]{1,20}")
_TIME = re.compile(rb"(-?[0-9]{1,20})(?:\.[0-9]*)?")
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE)

Read = Callable[[int], bytes]
Extents = tuple[tuple[int, int], ...]


@dataclass(slots=True)
class Entry:
    """One archive member. `kind` is tarfile's type byte; `size` what is stored, `real_size` what it unpacks to.

    Names are bytes, as the file system has them. `extents` (offset, length) is None for a file without holes.
    """

    name: bytes
    kind: bytes
    mode: int
    uid: int
    gid: int
    mtime: int
    size: int
    real_size: int
    link: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[str, bytes] = field(default_factory=dict)
    extents: Extents | None = None

    @property
    def is_file(self) -> bool:
        return self.kind in _REGULAR

    @property
    def shown(self) -> str:
        """The name as an error message shows it."""
        return ascii(self.name[:200].decode("utf-8", "backslashreplace"))


class TarReader:
    """Iterate the entries of an archive; read an entry's content before the next one, or it is skipped."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._left = 0
        self._padding = 0

    def __iter__(self) -> Iterator[Entry]:
        while (entry := self._next()) is not None:
            yield entry

    def content(self, size: int) -> bytes:
        """Up to `size` bytes of the current entry's stored content; b"" when all is read."""
        wanted = min(size, self._left)
        if wanted == 0:
            return b""
        piece = self._read(wanted)
        if len(piece) != wanted:
            raise Invalid("layer: the archive is cut short inside a file")
        self._left -= wanted
        return piece

    def _next(self) -> Entry | None:
        pax: dict[bytes, bytes] = {}
        long: dict[bytes, bytes] = {}
        for _ in range(_EXTENSIONS_MAX):
            self._skip()
            header = self._header()
            if header is None:
                return None
            if header.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE):
                pax |= _pax_records(self._extension(header))
            elif header.type == tarfile.XGLTYPE:
                self._extension(header)
            elif header.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
                long[header.type] = self._extension(header).split(b"\0")[0]
            else:
                return self._entry(header, pax, long)
        raise Invalid("layer: too many extension headers before an entry")

    def _header(self) -> tarfile.TarInfo | None:
        """The next header; None at two zero blocks, or where the stream ends between entries, as Docker accepts."""
        block = self._read(BLOCK)
        if not block or block.count(0) == BLOCK:
            return None
        self._block = block
        try:
            return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        except tarfile.HeaderError as error:
            raise Invalid(f"layer: not a tar header: {error}") from error
        except (ValueError, OverflowError) as error:
            raise Invalid(f"layer: a tar header holds nonsense: {error}") from error

    def _extension(self, header: tarfile.TarInfo) -> bytes:
        if not 0 <= header.size <= _HEADER_SIZE_MAX:
            raise TooLarge(f"layer: an extension header of {header.size} bytes")
        self._set_content(header.size)
        return self.content(header.size)

    def _set_content(self, size: int) -> None:
        self._left = size
        self._padding = -size % BLOCK

    def _skip(self) -> None:
        while self._left:
            self.content(1 << 20)
        if self._padding:
            self._read(self._padding)
            self._padding = 0

    def _entry(self, header: tarfile.TarInfo, pax: dict[bytes, bytes], long: dict[bytes, bytes]) -> Entry:
        name = pax.get(b"path") or long.get(tarfile.GNUTYPE_LONGNAME) or _bytes(header.name)
        entry = Entry(
            name=pax.get(b"GNU.sparse.name", name),
            kind=header.type,
            mode=header.mode & 0o7777,
            uid=_number(pax, b"uid", header.uid),
            gid=_number(pax, b"gid", header.gid),
            mtime=_time(pax, header.mtime),
            size=_number(pax, b"size", header.size),
            real_size=0,
            link=pax.get(b"linkpath") or long.get(tarfile.GNUTYPE_LONGLINK) or _bytes(header.linkname),
            device=(header.devmajor, header.devminor),
            xattrs={
                key.removeprefix(_XATTR_PREFIX).decode("utf-8", "surrogateescape"): value
                for key, value in pax.items()
                if key.startswith(_XATTR_PREFIX)
            },
        )
        if not entry.is_file:
            # Links and directories have no content, whatever their header's size says.
            entry.size = 0
        if entry.size < 0 or min(entry.uid, entry.gid) < 0 or max(entry.uid, entry.gid) > _ID_MAX:
            raise Invalid(f"layer entry {entry.shown}: size or owner is out of range")
        if abs(entry.mtime) > _TIME_MAX:
            raise Invalid(f"layer entry {entry.shown}: its time is out of range")
        if any("\0" in name for name in entry.xattrs):
            raise Invalid(f"layer entry {entry.shown}: the name of an attribute holds NUL")
        self._set_content(entry.size)
        self._sparse(entry, pax)
        return entry

    def _sparse(self, entry: Entry, pax: dict[bytes, bytes]) -> None:
        """Fill in `real_size` and `extents`."""
        stored = entry.size
        entry.real_size = entry.size
        if entry.kind == tarfile.GNUTYPE_SPARSE:
            entry.real_size, entry.extents = self._old_sparse(entry)
        elif pax.get(b"GNU.sparse.major") == b"1":
            entry.real_size = _number(pax, b"GNU.sparse.realsize", -1)
            entry.extents = self._map_in_content(entry)
            stored = self._left
        elif b"GNU.sparse.map" in pax:
            entry.real_size = _number(pax, b"GNU.sparse.size", -1)
            numbers = pax[b"GNU.sparse.map"]
            entry.extents = _pairs(numbers.split(b",") if numbers else [], entry)
        elif any(key.startswith(b"GNU.sparse.") for key in pax):
            raise Invalid(f"layer entry {entry.shown}: its sparse format is not supported")
        if entry.extents is not None:
            _check_extents(entry, stored)

    def _old_sparse(self, entry: Entry) -> tuple[int, Extents]:
        block, places, extents = self._block, range(386, 386 + 4 * 24, 24), []
        real_size, is_extended = tarfile.nti(block[483:495]), block[482] != 0  # type: ignore[attr-defined]
        while True:
            for place in places:
                offset, length = block[place : place + 12], block[place + 12 : place + 24]
                if length[0] and length != b"\0" * 12:
                    extents.append((tarfile.nti(offset), tarfile.nti(length)))  # type: ignore[attr-defined]
            if not is_extended:
                return real_size, tuple(extents)
            block, places = self._read(BLOCK), range(0, 21 * 24, 24)
            if len(block) != BLOCK or len(extents) > 1 << 16:
                raise Invalid(f"layer entry {entry.shown}: its sparse map is broken")
            is_extended = block[504] != 0

    def _map_in_content(self, entry: Entry) -> Extents:
        """PAX sparse 1.0: decimal lines at the start of the content, padded to a block."""
        text = b""
        while True:
            text += self.content(BLOCK)
            lines = text.split(b"\n")
            count = int(lines[0]) if len(lines) > 1 and _DECIMAL.fullmatch(lines[0]) else None
            if count is not None and len(lines) > 2 * count + 1:
                return _pairs(lines[1 : 2 * count + 1], entry)
            if len(text) % BLOCK or len(text) > _HEADER_SIZE_MAX or (len(lines) > 1 and count is None):
                raise Invalid(f"layer entry {entry.shown}: its sparse map is broken")
            if self._left == 0:
                raise Invalid(f"layer entry {entry.shown}: its sparse map is cut short")


def _pax_records(text: bytes) -> dict[bytes, bytes]:
    """`LENGTH KEY=VALUE\\n` records; values may hold any byte but a NUL in names is refused where it is used."""
    records: dict[bytes, bytes] = {}
    place = 0
    while place < len(text) and text[place]:
        space = text.find(b" ", place, place + 21)
        length_text = text[place:space] if space > 0 else b""
        length = int(length_text) if _DECIMAL.fullmatch(length_text) else 0
        record = text[space + 1 : place + length]
        key, equals, value = record.partition(b"=")
        if length <= len(length_text) + 2 or not equals or not value.endswith(b"\n") or place + length > len(text):
            raise Invalid("layer: a PAX header is broken")
        records[key] = value[:-1]
        place += length
    return records


def _number(pax: dict[bytes, bytes], key: bytes, default: int) -> int:
    text = pax.get(key)
    if text is None:
        return default
    if not _DECIMAL.fullmatch(text):
        raise Invalid(f"layer: PAX {key.decode()} {text[:40]!r} is not a number")
    return int(text)


def _time(pax: dict[bytes, bytes], default: float) -> int:
    text = pax.get(b"mtime")
    if text is None:
        return int(default)
    match = _TIME.fullmatch(text)
    if match is None:
        raise Invalid(f"layer: PAX mtime {text[:40]!r} is not a time")
    return int(match[1])


def _pairs(numbers: list[bytes], entry: Entry) -> Extents:
    if len(numbers) % 2 or not all(_DECIMAL.fullmatch(number) for number in numbers):
        raise Invalid(f"layer entry {entry.shown}: its sparse map is broken")
    values = [int(number) for number in numbers]
    return tuple(zip(values[::2], values[1::2], strict=True))


def _check_extents(entry: Entry, stored: int) -> None:
    end = 0
    for offset, length in entry.extents or ():
        if offset < end or length < 0:
            raise Invalid(f"layer entry {entry.shown}: its sparse extents overlap")
        end = offset + length
    if end > entry.real_size or sum(length for _, length in entry.extents or ()) != stored:
        raise Invalid(f"layer entry {entry.shown}: its sparse map and its size differ")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
