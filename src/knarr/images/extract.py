"""Write tar entries into a directory that may hold anything the archive put there: the extractor of hostile layers.

Every entry is one name inside one opened directory. Directories are opened with openat2, which cannot leave the root;
the last component is created exclusively and never followed. Whiteouts become what overlayfs reads: a character device
0:0, and an attribute on opaque directories. Entries that could reach outside or forge overlay state are Invalid.
It does not decompress, parse tar or check digests (images/compression.py, tar_reader.py, unpack.py).
"""

import contextlib
import errno
import os
import stat
import tarfile
from collections.abc import Sequence

from knarr.base.errors import Invalid, TooLarge, Unavailable
from knarr.base.removal import remove_tree
from knarr.images.openat2 import openat2
from knarr.images.tar_reader import Entry, TarReader

OPAQUE = "trusted.overlay.opaque"
WHITEOUT_PREFIX = b".wh."
OPAQUE_MARKER = b".wh..wh..opq"
ENTRIES_MAX = 1_000_000
_SIZE_MAX = 64 << 30
_PATH_MAX = 4096
_PIECE = 1 << 20
_DEVICES = frozenset([(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (10, 200), (10, 229)])
"""null zero full random urandom tty console ptmx net/tun fuse: what base images carry in /dev."""
_REFUSALS = {
    *(errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EXDEV, errno.ENOENT),
    *(errno.ERANGE, errno.E2BIG),  # an attribute with too long a name or value
}
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Extractor:
    """Applies entries to the directory `root`. `lowers` are the layers below, nearest first, for what is implied."""

    def __init__(self, root: str, lowers: Sequence[str] = (), *, entries_max: int = ENTRIES_MAX) -> None:
        self._root = os.open(root, _DIRECTORY)
        self._lowers = [os.open(lower, _DIRECTORY) for lower in lowers]
        self._parent: tuple[bytes, int] | None = None
        self._times: dict[bytes, int] = {}
        self._entries_max = entries_max
        self._entries = self._size = 0

    def apply(self, reader: TarReader) -> None:
        """All entries of the archive. Raises Invalid, TooLarge naming the entry; the caller discards the directory."""
        for entry in reader:
            self._entries += 1
            self._size += max(entry.real_size, 0)
            if self._entries > self._entries_max or self._size > _SIZE_MAX:
                raise TooLarge(f"layer entry {entry.shown}: more than {self._entries_max} entries or {_SIZE_MAX} bytes")
            try:
                self._apply_one(entry, reader)
            except OSError as error:
                raise _translated(entry, error) from error
        self._set_times()

    def close(self) -> None:
        self._forget_parent()
        for descriptor in (self._root, *self._lowers):
            os.close(descriptor)

    def _apply_one(self, entry: Entry, reader: TarReader) -> None:
        path = _components(entry, entry.name)
        if not path:
            self._apply_root(entry)
            return
        name = path[-1]
        parent = self._open_parent(path[:-1], entry)
        if name.startswith(WHITEOUT_PREFIX):
            self._whiteout(parent, name, entry)
        elif entry.kind == tarfile.DIRTYPE:
            self._make_directory(parent, name, entry)
            self._times[b"/".join(path)] = entry.mtime
        elif entry.is_file:
            self._make_file(parent, name, entry, reader)
        elif entry.kind == tarfile.LNKTYPE:
            self._make_link(parent, name, entry)
        else:
            self._make_special(parent, name, entry)

    def _apply_root(self, entry: Entry) -> None:
        if entry.kind != tarfile.DIRTYPE:
            raise Invalid(f"layer entry {entry.shown}: the root can only be a directory")
        _set_attributes(self._root, entry)
        self._times[b""] = entry.mtime

    # Directories on the way.

    def _open_parent(self, path: list[bytes], entry: Entry) -> int:
        key = b"/".join(path)
        if self._parent is not None and self._parent[0] == key:
            return self._parent[1]
        self._forget_parent()
        try:
            descriptor = openat2(self._root, key, _DIRECTORY)
        except FileNotFoundError:
            descriptor = self._make_parents(path, entry)
        self._parent = (key, descriptor)
        return descriptor

    def _forget_parent(self) -> None:
        if self._parent is not None:
            os.close(self._parent[1])
            self._parent = None

    def _make_parents(self, path: list[bytes], entry: Entry) -> int:
        """Directories that the archive implies: as the layers below have them, else 0755 of root."""
        descriptor = os.dup(self._root)
        try:
            for depth, name in enumerate(path, start=1):
                prefix = b"/".join(path[:depth])
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o755, dir_fd=descriptor)
                    self._inherit(prefix, name, descriptor)
                following = openat2(self._root, prefix, _DIRECTORY)
                os.close(descriptor)
                descriptor = following
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _inherit(self, prefix: bytes, name: bytes, parent: int) -> None:
        mode, uid, gid = 0o755, 0, 0
        for lower in self._lowers:
            with contextlib.suppress(OSError), _opened(lower, prefix, _DIRECTORY) as descriptor:
                found = os.fstat(descriptor)
                mode, uid, gid = stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid
                break
        made = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            os.fchown(made, uid, gid)
            os.fchmod(made, mode)
        finally:
            os.close(made)

    # One entry each.

    def _make_directory(self, parent: int, name: bytes, entry: Entry) -> None:
        replaced_whiteout = False
        try:
            os.mkdir(name, 0o700, dir_fd=parent)
        except FileExistsError:
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISDIR(found.st_mode):
                replaced_whiteout = _is_whiteout(found)
                self._clear(parent, name)
                os.mkdir(name, 0o700, dir_fd=parent)
        descriptor = os.open(name, _DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        try:
            _set_attributes(descriptor, entry)
            if replaced_whiteout:
                os.setxattr(descriptor, OPAQUE, b"y")
        finally:
            os.close(descriptor)

    def _make_file(self, parent: int, name: bytes, entry: Entry, reader: TarReader) -> None:
        try:
            descriptor = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
        except FileExistsError:
            self._clear(parent, name)
            descriptor = os.open(name, _NEW_FILE, 0o600, dir_fd=parent)
        try:
            _fill(descriptor, entry, reader)
            _set_attributes(descriptor, entry)
            os.utime(descriptor, (entry.mtime, entry.mtime))
        finally:
            os.close(descriptor)

    def _make_link(self, parent: int, name: bytes, entry: Entry) -> None:
        target = _components(entry, entry.link)
        if not target or target[-1].startswith(WHITEOUT_PREFIX):
            raise Invalid(f"layer entry {entry.shown}: a hard link to {entry.link[:200]!a} is not allowed")
        with _opened(self._root, b"/".join(target[:-1]), _DIRECTORY) as directory:
            try:
                found = os.stat(target[-1], dir_fd=directory, follow_symlinks=False)
            except FileNotFoundError:
                found = self._copy_up(directory, target)
            if stat.S_ISDIR(found.st_mode) or _is_whiteout(found):
                raise Invalid(f"layer entry {entry.shown}: a hard link to a directory or a whiteout")
            try:
                os.link(target[-1], name, src_dir_fd=directory, dst_dir_fd=parent, follow_symlinks=False)
            except FileExistsError:
                if os.path.samestat(found, os.stat(name, dir_fd=parent, follow_symlinks=False)):
                    return
                self._clear(parent, name)
                os.link(target[-1], name, src_dir_fd=directory, dst_dir_fd=parent, follow_symlinks=False)

    def _copy_up(self, directory: int, target: list[bytes]) -> os.stat_result:
        """The target of a hard link lies in a layer below: bring the file up, as overlayfs would."""
        for lower in self._lowers:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            with contextlib.suppress(FileNotFoundError), _opened(lower, b"/".join(target), flags) as source:
                found = os.fstat(source)
                if not stat.S_ISREG(found.st_mode):
                    return found
                _copy(source, directory, target[-1], found)
                return os.stat(target[-1], dir_fd=directory, follow_symlinks=False)
        raise FileNotFoundError(errno.ENOENT, "the link's target is in no layer", os.fsdecode(target[-1]))

    def _make_special(self, parent: int, name: bytes, entry: Entry) -> None:
        """Symbolic links, FIFOs and the devices of the allow-list."""
        if entry.kind not in (tarfile.SYMTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE):
            raise Invalid(f"layer entry {entry.shown}: type {entry.kind!r} is not known")
        if entry.kind == tarfile.BLKTYPE or (entry.kind == tarfile.CHRTYPE and entry.device not in _DEVICES):
            raise Invalid(f"layer entry {entry.shown}: device {entry.device[0]}:{entry.device[1]} is not allowed")
        if entry.kind == tarfile.SYMTYPE and (not entry.link or len(entry.link) >= _PATH_MAX or b"\0" in entry.link):
            raise Invalid(f"layer entry {entry.shown}: not a link target")
        try:
            _create_special(parent, name, entry)
        except FileExistsError:
            self._clear(parent, name)
            _create_special(parent, name, entry)
        os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        os.utime(name, (entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)

    def _whiteout(self, parent: int, name: bytes, entry: Entry) -> None:
        """A whiteout hides what lies below, never what this layer itself brings."""
        if name == OPAQUE_MARKER:
            os.setxattr(parent, OPAQUE, b"y")
            return
        hidden = name.removeprefix(WHITEOUT_PREFIX)
        if hidden.startswith(WHITEOUT_PREFIX):
            return  # aufs keeps its own notes under `.wh..wh.`; they mean nothing here
        if hidden in (b"", b".", b".."):
            raise Invalid(f"layer entry {entry.shown}: a whiteout of nothing")
        try:
            os.mknod(hidden, stat.S_IFCHR, 0, dir_fd=parent)
        except FileExistsError:
            found = os.stat(hidden, dir_fd=parent, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                with _opened(parent, hidden, _DIRECTORY | os.O_NOFOLLOW) as directory:
                    os.setxattr(directory, OPAQUE, b"y")

    def _clear(self, parent: int, name: bytes) -> None:
        """Remove what an earlier entry of this layer put under the name."""
        found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISDIR(found.st_mode):
            remove_tree(os.fsdecode(name), dir_fd=parent)
        else:
            os.unlink(name, dir_fd=parent)

    def _set_times(self) -> None:
        """Directories get their times last, because filling them changes these."""
        self._forget_parent()
        for path, mtime in self._times.items():
            with contextlib.suppress(OSError), _opened(self._root, path, _DIRECTORY) as descriptor:
                os.utime(descriptor, (mtime, mtime))


class _opened:
    """A descriptor for the time of a `with` block."""

    def __init__(self, directory: int, path: bytes, flags: int) -> None:
        self._descriptor = openat2(directory, path, flags)

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _components(entry: Entry, path: bytes) -> list[bytes]:
    """The names of a path below the root; a leading slash means the root, as Docker reads it."""
    if b"\0" in path or len(path) >= _PATH_MAX:
        raise Invalid(f"layer entry {entry.shown}: its path holds NUL or is longer than {_PATH_MAX - 1} bytes")
    names = [name for name in path.split(b"/") if name not in (b"", b".")]
    if b".." in names:
        raise Invalid(f"layer entry {entry.shown}: `..` leads out of the layer")
    if any(name.startswith(WHITEOUT_PREFIX) for name in names[:-1]):
        raise Invalid(f"layer entry {entry.shown}: a whiteout has nothing inside")
    return names


def _fill(descriptor: int, entry: Entry, reader: TarReader) -> None:
    if entry.extents is None:
        while piece := reader.content(_PIECE):
            _write(descriptor, piece)
        return
    for offset, length in entry.extents:
        os.lseek(descriptor, offset, os.SEEK_SET)
        left = length
        while left:
            piece = reader.content(min(left, _PIECE))
            if not piece:
                raise Invalid(f"layer entry {entry.shown}: its sparse map and its size differ")
            _write(descriptor, piece)
            left -= len(piece)
    os.ftruncate(descriptor, entry.real_size)


def _write(descriptor: int, piece: bytes) -> None:
    left = memoryview(piece)
    while left:
        left = left[os.write(descriptor, left) :]


def _set_attributes(descriptor: int, entry: Entry) -> None:
    """Owner first: changing it clears set-user-ID bits and capabilities."""
    os.fchown(descriptor, entry.uid, entry.gid)
    os.fchmod(descriptor, entry.mode)
    for name, value in entry.xattrs.items():
        if name.startswith("trusted."):
            raise Invalid(f"layer entry {entry.shown}: attribute {name[:80]!r} would forge overlay state")
        if name != "security.capability" and (not name.startswith("user.") or name.startswith("user.overlay.")):
            continue
        try:
            os.setxattr(descriptor, name, value)
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise


def _create_special(parent: int, name: bytes, entry: Entry) -> None:
    if entry.kind == tarfile.SYMTYPE:
        os.symlink(entry.link, name, dir_fd=parent)
        return
    kind = stat.S_IFIFO if entry.kind == tarfile.FIFOTYPE else stat.S_IFCHR
    device = os.makedev(*entry.device) if entry.kind == tarfile.CHRTYPE else 0
    os.mknod(name, kind | entry.mode, device, dir_fd=parent)
    os.chmod(name, entry.mode, dir_fd=parent)


def _copy(source: int, directory: int, name: bytes, found: os.stat_result) -> None:
    descriptor = os.open(name, _NEW_FILE, 0o600, dir_fd=directory)
    try:
        while piece := os.read(source, _PIECE):
            _write(descriptor, piece)
        os.fchown(descriptor, found.st_uid, found.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(found.st_mode))
        for attribute in os.listxattr(source):
            if attribute.startswith("user.") or attribute == "security.capability":
                os.setxattr(descriptor, attribute, os.getxattr(source, attribute))
        os.utime(descriptor, ns=(found.st_mtime_ns, found.st_mtime_ns))
    finally:
        os.close(descriptor)


def _is_whiteout(found: os.stat_result) -> bool:
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def _translated(entry: Entry, error: OSError) -> Exception:
    reason = error.strerror or str(error)
    if error.errno in _REFUSALS:
        return Invalid(f"layer entry {entry.shown}: {reason}")
    return Unavailable(f"layer entry {entry.shown} cannot be written: {reason}")
