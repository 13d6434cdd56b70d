"""Carry out COPY, and ADD of local files: write what was selected into a mounted root file system.

Where things go follows the Dockerfile reference: a directory's content goes into the target, a file under its name if
the target is a directory. Missing directories are made 0755. The selection is trees.select; archives are steps/add.py.
"""

import contextlib
import dataclasses
import os
import posixpath
import time
from collections.abc import Sequence
from dataclasses import dataclass

from knarr.base.errors import Invalid
from knarr.builder import modes, users
from knarr.builder.operations import CopyFiles
from knarr.builder.rootfs import Rootfs, clear, set_attributes
from knarr.builder.trees import Entry, Pick, Tree, clean_path


@dataclass(frozen=True, slots=True)
class Placing:
    """How entries are changed on their way. `owner` None keeps theirs."""

    owner: tuple[int, int] | None
    chmod: str

    @property
    def made_by(self) -> tuple[int, int]:
        """Owner of directories that nothing describes."""
        return self.owner or (0, 0)

    def mode(self, mode: int, is_directory: bool) -> int:
        return modes.changed(mode, self.chmod, is_directory=is_directory) if self.chmod else mode

    def entry(self, entry: Entry) -> Entry:
        uid, gid = self.owner or (entry.uid, entry.gid)
        mode = entry.mode if entry.kind == "link" else self.mode(entry.mode, entry.kind == "directory")
        return dataclasses.replace(entry, uid=uid, gid=gid, mode=mode)


def placing(rootfs: Rootfs, copy: CopyFiles) -> Placing:
    """Raises Invalid for an unknown user or a bad mode."""
    owner = None
    if copy.chown:
        owner = users.owner(copy.chown, rootfs.read_text("etc/passwd"), rootfs.read_text("etc/group"))
    if copy.chmod:
        modes.changed(0o644, copy.chmod, is_directory=False)
    return Placing(owner, copy.chmod)


def copy_picks(rootfs: Rootfs, tree: Tree, picks: Sequence[Pick], copy: CopyFiles) -> None:
    """Write the picks below the copy's target."""
    rule = placing(rootfs, copy)
    target = clean_path(copy.target)
    is_directory = copy.target.endswith("/") or copy.keeps_parents or rootfs.is_directory(target)
    times: list[tuple[str, Entry]] = []
    with _Parent(rootfs, rule) as parent:
        for pick in picks:
            entry = rule.entry(pick.entry)
            place = _destination(target, pick, is_directory=is_directory)
            if entry.kind == "directory":
                if pick.place:
                    _directory(rootfs, place, entry, times)
                else:
                    rootfs.make_directories(place, rule.made_by)
            elif entry.kind != "other":
                _file(parent, tree, pick, place, entry)
    _set_times(rootfs, times)


def copy_inline(rootfs: Rootfs, copy: CopyFiles) -> None:
    """Write here-documents, each a file of mode 0644."""
    rule = placing(rootfs, copy)
    is_directory = copy.target.endswith("/") or rootfs.is_directory(copy.target)
    now = time.time_ns()
    for name, text in copy.inline:
        path = posixpath.join(copy.target, name) if is_directory else copy.target
        write_bytes(rootfs, clean_path(path), text.encode(), rule.entry(Entry("file", 0o644, mtime=now)), rule)


def write_bytes(rootfs: Rootfs, path: str, content: bytes, entry: Entry, rule: Placing) -> None:
    """One file with content that is in memory."""
    parent, name = posixpath.split(path)
    rootfs.make_directories(parent, rule.made_by)
    with rootfs.directory(parent) as directory:
        clear(directory, name)
        new = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(name, new, 0o600, dir_fd=directory), "wb") as file:
            file.write(content)
            file.flush()
            set_attributes(file.fileno(), entry)


def _destination(target: str, pick: Pick, *, is_directory: bool) -> str:
    """A file alone takes the target as its new name, unless that is a directory."""
    is_renamed = pick.is_source and pick.entry.kind != "directory" and not is_directory
    return target if is_renamed else clean_path(posixpath.join(target, pick.place))


def _directory(rootfs: Rootfs, place: str, entry: Entry, times: list[tuple[str, Entry]]) -> None:
    """A directory below the target, made or as it is; it gets the source's mode and owner."""
    rootfs.make_directories(place)
    with rootfs.directory(place) as directory:
        os.fchown(directory, entry.uid, entry.gid)
        os.fchmod(directory, entry.mode)
    times.append((place, entry))


class _Parent:
    """The directory that files are written into, open for as long as the next file goes there too.

    `copies` are places of files that have several names, by the inode of what was copied.
    """

    def __init__(self, rootfs: Rootfs, rule: Placing) -> None:
        self.rootfs = rootfs
        self._rule = rule
        self._path = ""
        self._stack = contextlib.ExitStack()
        self._descriptor = -1
        self.copies: dict[tuple[int, int], str] = {}
        self._inodes: dict[str, tuple[int, int]] = {}

    def __enter__(self) -> "_Parent":
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stack.close()

    def open(self, path: str) -> int:
        """A descriptor of the directory, made where it is missing."""
        if self._descriptor < 0 or path != self._path:
            self._stack.close()
            self.rootfs.make_directories(path, self._rule.made_by)
            self._path, self._descriptor = path, self._stack.enter_context(self.rootfs.directory(path))
        return self._descriptor

    def replaced(self, place: str) -> None:
        """Something else comes to the place: what was copied there gets no more names."""
        inode = self._inodes.pop(place, None)
        if inode is not None:
            del self.copies[inode]

    def copied(self, inode: tuple[int, int], place: str) -> None:
        """A file of several names has its first copy."""
        self.copies[inode], self._inodes[place] = place, inode


def _file(parent: _Parent, tree: Tree, pick: Pick, place: str, entry: Entry) -> None:
    above, name = posixpath.split(place)
    if not name:
        raise Invalid(f"{pick.path!r} cannot replace the root directory")
    directory = parent.open(above)
    parent.replaced(place)
    if entry.kind == "link":
        parent.rootfs.write_link(directory, name, entry)
        return
    if entry.kind == "fifo":
        parent.rootfs.write_fifo(directory, name, entry)
        return
    source = tree.open(pick.path)
    try:
        found = os.fstat(source)
        inode = (found.st_dev, found.st_ino)
        if found.st_nlink == 1:
            parent.rootfs.write_file(directory, name, source, entry, tree.xattrs(pick.path))
        elif inode in parent.copies:
            _link(parent.rootfs, parent.copies[inode], directory, name)
        else:
            parent.rootfs.write_file(directory, name, source, entry, tree.xattrs(pick.path))
            parent.copied(inode, place)
    finally:
        os.close(source)


def _link(rootfs: Rootfs, place: str, directory: int, name: str) -> None:
    """Another name of what was copied to `place`."""
    above, first = posixpath.split(place)
    with rootfs.directory(above) as there:
        clear(directory, name)
        os.link(first, name, src_dir_fd=there, dst_dir_fd=directory, follow_symlinks=False)


def _set_times(rootfs: Rootfs, times: list[tuple[str, Entry]]) -> None:
    """Last, and the innermost first: writing into a directory changes its time."""
    for place, entry in reversed(times):
        with rootfs.directory(place) as directory:
            os.utime(directory, ns=(entry.mtime, entry.mtime))
