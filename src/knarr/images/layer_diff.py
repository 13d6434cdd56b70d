"""Pack what a snapshot adds to its parent as a layer: a tar that is the same for the same files, gzipped by isal.

Entries are sorted by name; overlayfs' whiteouts become `.wh.` entries. One pass reads each file once and yields the
diffID, the digest and the size. Times are cut to seconds and may be bounded (SOURCE_DATE_EPOCH). Sockets are left out,
as no tar can hold them. The reverse is images/unpack.py.
"""

import errno
import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from knarr.base.errors import Invalid
from knarr.images.compression import gzip_writer
from knarr.images.content import ContentStore, Ingest
from knarr.images.extract import OPAQUE, OPAQUE_MARKER, WHITEOUT_PREFIX
from knarr.images.tar_writer import header_bytes
from knarr.oci.digest import Digest
from knarr.oci.manifest import OCI_LAYER_GZIP, Descriptor

_PIECE = 1 << 20
_BATCH = 4 << 20
"""What the compressor sees at once bounds the blocks it can store: what does not compress then unpacks twice as fast
(1,460 MB/s) as in blocks of 1 MiB. Other content is the same."""
_SIDE_PIECES_MIN = 1
"""A layer of one piece is hashed before a thread would have started."""
_RECORD = 10240
"""tar pads an archive to whole records."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A packed layer in the content store. `is_empty` when the snapshot adds nothing."""

    diff_id: Digest
    descriptor: Descriptor
    is_empty: bool = False


def pack(upper: Path, content: ContentStore, *, mtime_max: int | None = None, sets_times: bool = False) -> Layer:
    """Pack the directory `upper` into the content store as one gzip layer."""
    return pack_all(_entries(os.fsencode(upper), {}), content, mtime_max=mtime_max, sets_times=sets_times)


def pack_all(
    entries: "Iterator[PackEntry]", content: ContentStore, *, mtime_max: int | None = None, sets_times: bool = False
) -> Layer:
    """Pack entries that come sorted, parents first; `sets_times` gives every one the time `mtime_max`."""
    writer = _Writer(content.ingest())
    is_empty = True
    try:
        for entry in entries:
            is_empty = False
            if mtime_max is not None and (sets_times or entry.header.mtime > mtime_max):
                entry.header.mtime = mtime_max
            writer.add(entry)
        return writer.end(is_empty)
    except BaseException:
        writer.abort()
        raise


@dataclass(slots=True)
class PackEntry:
    """A tar header and the file with its content ("" for none)."""

    header: tarfile.TarInfo
    source: bytes = b""


class _SideHash:
    """sha256 on a thread of its own, one piece behind: the plain bytes are hashed while they are compressed."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._thread: ThreadPoolExecutor | None = None
        self._pending: Future[None] | None = None
        self._pieces = 0

    def update(self, piece: bytes | bytearray) -> None:
        self._pieces += 1
        if self._pieces <= _SIDE_PIECES_MIN:
            self._hash.update(piece)
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="hash")
        self._wait()
        self._pending = self._thread.submit(self._hash.update, piece)

    def digest(self) -> Digest:
        self.close()
        return Digest("sha256:" + self._hash.hexdigest())

    def close(self) -> None:
        self._wait()
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()
            self._pending = None


class _Writer:
    """Hashes, compresses and stores the archive as it grows."""

    def __init__(self, ingest: Ingest) -> None:
        self._ingest = ingest
        self._hash = _SideHash()
        self._gzip = gzip_writer()
        self._batch = bytearray()
        self._size = 0

    def add(self, entry: PackEntry) -> None:
        header = entry.header
        self._put(header_bytes(header))
        if not header.size:
            return
        left = header.size
        with open(entry.source, "rb", buffering=0) as source:
            while left and (piece := source.read(min(left, _PIECE))):
                self._put(piece)
                left -= len(piece)
        # The header is written; a file that shrank meanwhile is filled up, as every tar does.
        self._put(b"\0" * (left + -header.size % tarfile.BLOCKSIZE))

    def end(self, is_empty: bool) -> Layer:
        self._put(b"\0" * (2 * tarfile.BLOCKSIZE))
        self._put(b"\0" * (-self._size % _RECORD))
        self._flush()
        self._ingest.write(self._gzip.flush())
        blob = self._ingest.commit()
        descriptor = Descriptor(media_type=OCI_LAYER_GZIP, digest=blob.digest, size=blob.size)
        return Layer(self._hash.digest(), descriptor, is_empty)

    def abort(self) -> None:
        self._hash.close()
        self._ingest.abort()

    def _put(self, piece: bytes) -> None:
        self._size += len(piece)
        self._batch += piece
        if len(self._batch) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        self._hash.update(self._batch)
        if compressed := self._gzip.compress(self._batch):
            self._ingest.write(compressed)
        self._batch = bytearray()


def tree_entries(root: Path) -> Iterator[PackEntry]:
    """Everything below a directory, sorted, parents first."""
    return _entries(os.fsencode(root), {})


def _entries(root: bytes, seen: dict[tuple[int, int], str]) -> Iterator[PackEntry]:
    """The entries below `root`, sorted, by a list instead of calls: a tree may be deeper than Python calls go.

    `seen` finds hard links again. Raises Invalid for what lies deeper than a path can say.
    """
    pending = [(b"", iter(sorted(os.listdir(root))))]
    while pending:
        prefix, names = pending[-1]
        for name in names:
            path = os.path.join(prefix, name)
            source = os.path.join(root, path)
            found = _found(source, path)
            if stat.S_ISCHR(found.st_mode) and found.st_rdev == 0:
                yield PackEntry(_whiteout(os.path.join(prefix, WHITEOUT_PREFIX + name)))
            elif not stat.S_ISSOCK(found.st_mode):
                yield PackEntry(_header(path, source, found, seen), source)
            if stat.S_ISDIR(found.st_mode):
                if _is_opaque(source):
                    yield PackEntry(_whiteout(os.path.join(path, OPAQUE_MARKER)))
                pending.append((path, iter(sorted(os.listdir(source)))))
                break
        else:
            pending.pop()


def _found(source: bytes, path: bytes) -> os.stat_result:
    try:
        return os.lstat(source)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        shown = ascii(path[:80].decode("utf-8", "replace"))[1:-1]
        raise Invalid(f"/{shown}…: the path is too long for a layer") from error


def _header(path: bytes, source: bytes, found: os.stat_result, seen: dict[tuple[int, int], str]) -> tarfile.TarInfo:
    header = tarfile.TarInfo(_text(path))
    header.mode = stat.S_IMODE(found.st_mode)
    header.uid, header.gid, header.mtime = found.st_uid, found.st_gid, int(found.st_mtime)
    if stat.S_ISREG(found.st_mode):
        first = seen.setdefault((found.st_dev, found.st_ino), header.name) if found.st_nlink > 1 else header.name
        if first != header.name:
            header.type, header.linkname = tarfile.LNKTYPE, first
            return header
        header.size = found.st_size
    elif stat.S_ISDIR(found.st_mode):
        header.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(found.st_mode):
        header.type, header.linkname = tarfile.SYMTYPE, _text(os.readlink(source))
    elif stat.S_ISFIFO(found.st_mode):
        header.type = tarfile.FIFOTYPE
    else:
        header.type = tarfile.CHRTYPE if stat.S_ISCHR(found.st_mode) else tarfile.BLKTYPE
        header.devmajor, header.devminor = os.major(found.st_rdev), os.minor(found.st_rdev)
    header.pax_headers = _xattrs(source) if header.type != tarfile.SYMTYPE else {}
    return header


def _xattrs(source: bytes) -> dict[str, str]:
    names = [name for name in os.listxattr(source) if name.startswith("user.") or name == "security.capability"]
    return {"SCHILY.xattr." + name: _text(os.getxattr(source, name)) for name in sorted(names)}


def _whiteout(path: bytes) -> tarfile.TarInfo:
    header = tarfile.TarInfo(_text(path))
    header.mode = 0
    return header


def _is_opaque(directory: bytes) -> bool:
    try:
        return os.getxattr(directory, OPAQUE) == b"y"
    except OSError:
        return False


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")
