"""A mounted root file system, read and written without ever leaving it: every path goes through openat2 IN_ROOT.

The image inside may hold any links; they lead to places below the root only. Used on the merged view of a snapshot.
What to write, and where, is decided in steps/.
"""

import contextlib
import hashlib
import os
import posixpath
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

from knarr.base.errors import Invalid
from knarr.builder.trees import LINKS_MAX, Entry, Xattrs, clean_path, follow
from knarr.images.openat2 import openat2

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1 << 20
_CAPABILITY = "security.capability"
_AT_ONCE = 1 << 30


class Rootfs:
    """Implements trees.Tree over a directory that stands for `/`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._root = os.open(root, _DIRECTORY | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._root)

    def entry(self, path: str) -> Entry | None:
        try:
            with self.directory(posixpath.dirname(path)) as parent:
                name = posixpath.basename(path)
                found = os.stat(name, dir_fd=parent, follow_symlinks=False) if name else os.fstat(parent)
                link = os.readlink(name, dir_fd=parent) if stat.S_ISLNK(found.st_mode) else ""
        except (FileNotFoundError, NotADirectoryError):
            return None
        return _entry(found, link)

    def resolve(self, path: str) -> str | None:
        return follow(path, self.entry)

    def names(self, path: str) -> list[str]:
        with self.directory(path) as descriptor:
            return sorted(os.listdir(descriptor))

    def digest(self, path: str) -> str:
        with open(self.open(path), "rb") as file:
            return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()

    def open(self, path: str) -> int:
        return openat2(self._root, os.fsencode(path), os.O_RDONLY | os.O_NONBLOCK)

    def xattrs(self, path: str) -> Xattrs:
        """File capabilities and the user's own; the others are the kernel's or the file system's."""
        descriptor = self.open(path)
        try:
            names = sorted(name for name in os.listxattr(descriptor) if _is_kept(name))
            return tuple((name, os.getxattr(descriptor, name)) for name in names)
        except OSError:
            return ()  # a file system without attributes
        finally:
            os.close(descriptor)

    def read_text(self, path: str, limit: int = 1 << 20) -> str:
        """A small file's text, "" where there is none: /etc/passwd and /etc/group."""
        try:
            descriptor = self.open(path)
        except OSError:
            return ""
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return ""
            return file.read(limit).decode("utf-8", "replace")

    @contextlib.contextmanager
    def directory(self, path: str) -> Iterator[int]:
        """An open directory below the root."""
        descriptor = openat2(self._root, os.fsencode(clean_path(path)), _DIRECTORY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def is_directory(self, path: str) -> bool:
        """Whether the path is a directory, links followed."""
        try:
            with self.directory(path):
                return True
        except OSError:
            return False

    def make_directories(self, path: str, owner: tuple[int, int] = (0, 0)) -> None:
        """The directory and its parents, 0755 of `owner` where they are missing; links lead on inside the root.

        Raises Invalid where a file is in the way.
        """
        if self.is_directory(path):
            return
        pending, resolved, links = clean_path(path).split("/"), "", 0
        while pending:
            part = pending.pop(0)
            if part in ("", ".", ".."):
                resolved = posixpath.dirname(resolved) if part == ".." else resolved
                continue
            inner = posixpath.join(resolved, part)
            entry = self.entry(inner)
            if entry is not None and entry.kind == "link" and links < LINKS_MAX:
                links += 1
                resolved = "" if entry.link.startswith("/") else resolved
                pending = [*entry.link.split("/"), *pending]
                continue
            if entry is None:
                self._make_directory(resolved, part, owner)
            elif entry.kind != "directory":
                raise Invalid(f"/{inner} is not a directory")
            resolved = inner

    def _make_directory(self, parent: str, name: str, owner: tuple[int, int]) -> None:
        with self.directory(parent) as directory:
            os.mkdir(name, 0o755, dir_fd=directory)
            os.chown(name, *owner, dir_fd=directory, follow_symlinks=False)
            os.chmod(name, 0o755, dir_fd=directory)  # noqa: S103  whatever the umask: what an image's directories have

    def write_file(self, parent: int, name: str, source: int, entry: Entry, xattrs: Xattrs = ()) -> None:
        """A new file in place of what is there: the descriptor's content, the entry's mode, owner and time."""
        try:
            target = os.open(name, _NEW, 0o600, dir_fd=parent)
        except FileExistsError:
            # Looking first would cost more than the copy of a small file.
            clear(parent, name)
            target = os.open(name, _NEW, 0o600, dir_fd=parent)
        try:
            copy_content(source, target)
            set_attributes(target, entry)
            for attribute, value in xattrs:
                # After the owner: changing it takes capabilities away.
                os.setxattr(target, attribute, value)
        finally:
            os.close(target)

    def write_link(self, parent: int, name: str, entry: Entry) -> None:
        clear(parent, name)
        os.symlink(entry.link, name, dir_fd=parent)
        os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)

    def write_fifo(self, parent: int, name: str, entry: Entry) -> None:
        clear(parent, name)
        os.mkfifo(name, 0o600, dir_fd=parent)
        os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        made = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=parent)
        try:
            os.chmod(f"/proc/self/fd/{made}", entry.mode)  # to open a FIFO itself would wait for its other end
        finally:
            os.close(made)
        os.utime(name, ns=(entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)


def _is_kept(attribute: str) -> bool:
    return attribute == _CAPABILITY or (attribute.startswith("user.") and not attribute.startswith("user.overlay."))


def clear(parent: int, name: str) -> None:
    """Make room for a file. Raises Invalid where a directory stands."""
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return
    except IsADirectoryError as error:
        raise Invalid(f"a file cannot replace the directory {name!r}") from error


def copy_content(source: int, target: int) -> None:
    """All bytes from one descriptor to the other, inside the kernel where it can."""
    with contextlib.suppress(OSError):
        while os.copy_file_range(source, target, _AT_ONCE) == _AT_ONCE:
            pass
    # What the kernel could not copy (or nothing is left).
    while piece := os.read(source, _PIECE):
        left = memoryview(piece)
        while left:
            left = left[os.write(target, left) :]


def set_attributes(descriptor: int, entry: Entry) -> None:
    """Owner first: it takes away setuid, which mode then gives."""
    os.fchown(descriptor, entry.uid, entry.gid)
    os.fchmod(descriptor, entry.mode)
    os.utime(descriptor, ns=(entry.mtime, entry.mtime))


_KINDS: Final[Mapping[int, Literal["file", "directory", "link", "fifo"]]] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
}


def _entry(found: os.stat_result, link: str) -> Entry:
    return Entry(
        kind=_KINDS.get(stat.S_IFMT(found.st_mode), "other"),
        mode=stat.S_IMODE(found.st_mode),
        size=found.st_size,
        mtime=found.st_mtime_ns,
        uid=found.st_uid,
        gid=found.st_gid,
        link=link,
    )
