"""Snapshots as overlayfs layers: each is a directory `snapshots/N` with `fs` (what it adds), `work` and its record.

Decides where a snapshot lies and which mounts show it; it mounts nothing itself (the runtime and images/mounting.py
do). Short links `l/N` keep the option string of long chains within a page. One process owns the directory; the index
is read once at the start; worker threads may call in.
Vocabulary: a *chain* is a committed snapshot with its ancestors, named by chain id.
"""

import contextlib
import ctypes
import itertools
import os
import threading
import time
from pathlib import Path

import msgspec

from knarr.base.errors import AlreadyExists, Conflict, Invalid, NotFound, Unavailable
from knarr.base.failpoints import failpoint
from knarr.base.removal import drop_tree
from knarr.images.content import DRAFT_PREFIX
from knarr.images.local_content import replace_file
from knarr.oci.mount import Mount

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_SETTLED_FILE = "settled.json"
_libc = ctypes.CDLL(None, use_errno=True)
_OPTIONS = ("index=off", "redirect_dir=off", "metacopy=off")
"""Plain overlays: a layer is exactly the entries that differ, so that it can be packed and moved."""


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    key: str
    parent: str
    is_committed: bool


class _Settled(msgspec.Struct, frozen=True, kw_only=True):
    """Which snapshots are known to be on the disk, as of which start of the machine."""

    boot_id: str
    numbers: tuple[int, ...]


class OverlaySnapshots:
    """Snapshotter over a directory."""

    def __init__(self, root: Path, boot_id: str | None = None) -> None:
        self.root = root
        self._snapshots = root / "snapshots"
        self._links = root / "l"
        for directory in (self._snapshots, self._links):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = threading.Lock()
        self._records: dict[str, _Record] = {}
        self._settled: set[int] = set()
        self._load(boot_id or _BOOT_ID.read_text().strip())
        self._numbers = itertools.count(max((record.number for record in self._records.values()), default=0) + 1)

    def prepare(self, key: str, parent: str) -> tuple[Mount, ...]:
        record = self._reserve(key, parent)
        try:
            self._make(record)
        except OSError as error:
            self.remove(key)
            raise Unavailable(f"snapshot {key} cannot be made: {error.strerror or error}") from error
        return self.mounts(key)

    def _reserve(self, key: str, parent: str) -> _Record:
        """Enter the record first: from then on nobody removes the parent."""
        with self._lock:
            if key in self._records:
                raise AlreadyExists(f"snapshot {key} is there already")
            if parent and not self._record(parent).is_committed:
                raise Invalid(f"snapshot {key}: its parent {parent} is not committed")
            record = _Record(number=next(self._numbers), key=key, parent=parent, is_committed=False)
            self._records[key] = record
        return record

    def _make(self, record: _Record) -> None:
        directory = self._directory(record)
        (directory / "fs").mkdir(parents=True)
        (directory / "work").mkdir(mode=0o700)
        os.chmod(directory / "fs", 0o755)  # noqa: S103  # it becomes the container's `/`
        self._link(record.number).symlink_to(f"../snapshots/{record.number}/fs")
        failpoint("snapshots.before_record")
        self._write(record)

    def mounts(self, key: str) -> tuple[Mount, ...]:
        record = self._record(key)
        lowers = [str(self._link(ancestor.number)) for ancestor in self._ancestors(record)]
        if record.is_committed:
            lowers.insert(0, str(self._link(record.number)))
            if len(lowers) == 1:
                return (Mount("bind", str(self._directory(record) / "fs"), ("ro", "rbind")),)
            return (Mount("overlay", "overlay", ("lowerdir=" + ":".join(lowers), *_OPTIONS)),)
        upper, work = self._directory(record) / "fs", self._directory(record) / "work"
        if not lowers:
            return (Mount("bind", str(upper), ("rw", "rbind")),)
        options = ("lowerdir=" + ":".join(lowers), f"upperdir={upper}", f"workdir={work}", *_OPTIONS)
        return (Mount("overlay", "overlay", options),)

    def commit(self, key: str, name: str) -> None:
        with self._lock:
            record = self._record(key)
            if name in self._records:
                raise AlreadyExists(f"snapshot {name} is there already")
            if record.is_committed:
                raise Invalid(f"snapshot {key} is committed already")
            committed = _Record(number=record.number, key=name, parent=record.parent, is_committed=True)
            self._write(committed)
            del self._records[key]
            self._records[name] = committed
        drop_tree(self._directory(record) / "work")

    def upper(self, key: str) -> Path:
        return self._directory(self._record(key)) / "fs"

    def remove(self, key: str) -> None:
        with self._lock:
            record = self._records.get(key)
            if record is None:
                return
            child = next((other.key for other in self._records.values() if other.parent == key), None)
            if child is not None:
                raise Conflict(f"snapshot {key} is the parent of {child}")
            del self._records[key]
        self._erase(record.number)

    def has(self, key: str) -> bool:
        return key in self._records

    def keys(self) -> tuple[str, ...]:
        """All snapshots, children after their parents."""
        return tuple(record.key for record in sorted(self._records.values(), key=lambda record: record.number))

    def is_committed(self, key: str) -> bool:
        return self._record(key).is_committed

    def parent(self, key: str) -> str:
        return self._record(key).parent

    def settle(self) -> None:
        """Put all files of the committed snapshots on the disk, so that they outlive a power loss; blocks."""
        fresh = {record.number for record in list(self._records.values()) if record.is_committed} - self._settled
        if not fresh:
            return
        descriptor = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            if _libc.syncfs(descriptor) != 0:
                raise Unavailable(f"syncfs {self.root}: {os.strerror(ctypes.get_errno())}")
        finally:
            os.close(descriptor)
        self._settled = (self._settled | fresh) & {record.number for record in list(self._records.values())}
        self._save_settled()

    def age(self, key: str) -> float:
        """Seconds since the snapshot was prepared or committed; 0 for one that is being made or is gone."""
        try:
            return time.time() - (self._directory(self._record(key)) / "record.json").stat().st_mtime
        except (FileNotFoundError, NotFound):
            return 0.0

    def usage(self, key: str) -> tuple[int, int]:
        size, inodes, pending = 0, 0, [str(self.upper(key))]
        while pending:
            inodes += 1
            # A running container removes files meanwhile, and may go deeper than a path can say.
            with contextlib.suppress(OSError), os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
                        continue
                    size += entry.stat(follow_symlinks=False).st_blocks * 512
                    inodes += 1
        return size, inodes

    def _record(self, key: str) -> _Record:
        try:
            return self._records[key]
        except KeyError as error:
            raise NotFound(f"snapshot {key} is not here") from error

    def _ancestors(self, record: _Record) -> list[_Record]:
        ancestors = []
        while record.parent:
            record = self._record(record.parent)
            ancestors.append(record)
        return ancestors

    def _directory(self, record: _Record) -> Path:
        return self._snapshots / str(record.number)

    def _link(self, number: int) -> Path:
        return self._links / str(number)

    def _write(self, record: _Record) -> None:
        """All at once, but not synced: only settled snapshots outlive a power loss, and settling syncs records too."""
        path = self._directory(record) / "record.json"
        draft = path.with_suffix(".tmp")
        draft.write_bytes(msgspec.json.encode(record))
        draft.rename(path)

    def _load(self, boot_id: str) -> None:
        """Read the records; what has none, and every draft, was being made or removed when the process ended."""
        for directory in self._snapshots.iterdir():
            try:
                record = msgspec.json.decode((directory / "record.json").read_bytes(), type=_Record)
            except (FileNotFoundError, msgspec.DecodeError):
                self._erase(int(directory.name))
                continue
            if record.key.startswith(DRAFT_PREFIX):
                self._erase(record.number)
                continue
            self._records[record.key] = record
        state = self._load_settled()
        self._settled = set(state.numbers)
        if state.boot_id != boot_id:
            self._boot_id = boot_id
            self._drop_unsettled()
            self._save_settled()
        self._boot_id = boot_id

    def _drop_unsettled(self) -> None:
        """The machine was started anew: the files of what was not settled may be missing. Children go with parents."""
        for record in sorted(self._records.values(), key=lambda record: record.number):
            has_parent = not record.parent or record.parent in self._records
            if not has_parent or (record.is_committed and record.number not in self._settled):
                del self._records[record.key]
                self._erase(record.number)

    def _load_settled(self) -> _Settled:
        try:
            return msgspec.json.decode((self.root / _SETTLED_FILE).read_bytes(), type=_Settled)
        except (FileNotFoundError, msgspec.DecodeError):
            return _Settled(boot_id="", numbers=())

    def _save_settled(self) -> None:
        settled = _Settled(boot_id=self._boot_id, numbers=tuple(sorted(self._settled)))
        replace_file(self.root / _SETTLED_FILE, msgspec.json.encode(settled))

    def _erase(self, number: int) -> None:
        """The record goes first, so that a half erased snapshot is never used."""
        directory = self._snapshots / str(number)
        (directory / "record.json").unlink(missing_ok=True)
        drop_tree(directory)
        self._link(number).unlink(missing_ok=True)
