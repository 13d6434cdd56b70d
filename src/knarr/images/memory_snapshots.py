"""Snapshots for tests without root: the twin of images/overlay.py. Nothing survives, and a mount shows one layer only.

The directories are real, because a snapshot is one; what is in memory is which there are.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

from knarr.base.errors import AlreadyExists, Conflict, Invalid, NotFound
from knarr.oci.mount import Mount


@dataclass(slots=True)
class _Snapshot:
    directory: Path
    parent: str
    is_committed: bool = False


class MemorySnapshots:
    """Snapshotter below a directory that the test owns."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._snapshots: dict[str, _Snapshot] = {}
        self._count = 0

    def prepare(self, key: str, parent: str) -> tuple[Mount, ...]:
        if key in self._snapshots:
            raise AlreadyExists(f"snapshot {key} is there already")
        if parent and not self._snapshot(parent).is_committed:
            raise Invalid(f"snapshot {key}: its parent {parent} is not committed")
        self._count += 1
        directory = self.root / f"memory-{self._count}"
        directory.mkdir(parents=True)
        self._snapshots[key] = _Snapshot(directory, parent)
        return self.mounts(key)

    def mounts(self, key: str) -> tuple[Mount, ...]:
        snapshot = self._snapshot(key)
        return (Mount("bind", str(snapshot.directory), ("ro" if snapshot.is_committed else "rw", "rbind")),)

    def commit(self, key: str, name: str) -> None:
        snapshot = self._snapshot(key)
        if name in self._snapshots:
            raise AlreadyExists(f"snapshot {name} is there already")
        if snapshot.is_committed:
            raise Invalid(f"snapshot {key} is committed already")
        del self._snapshots[key]
        self._snapshots[name] = _Snapshot(snapshot.directory, snapshot.parent, is_committed=True)

    def upper(self, key: str) -> Path:
        return self._snapshot(key).directory

    def remove(self, key: str) -> None:
        if any(snapshot.parent == key for snapshot in self._snapshots.values()):
            raise Conflict(f"snapshot {key} has children")
        snapshot = self._snapshots.pop(key, None)
        if snapshot is not None:
            shutil.rmtree(snapshot.directory)

    def has(self, key: str) -> bool:
        return key in self._snapshots

    def keys(self) -> tuple[str, ...]:
        return tuple(self._snapshots)  # a parent enters when it is committed, before its children

    def settle(self) -> None:
        """Nothing here outlives the process."""

    def usage(self, key: str) -> tuple[int, int]:
        paths = [self.upper(key), *self.upper(key).rglob("*")]
        files = [path for path in paths if path.is_file() and not path.is_symlink()]
        return sum(path.stat().st_size for path in files), len(paths)

    def _snapshot(self, key: str) -> _Snapshot:
        try:
            return self._snapshots[key]
        except KeyError as error:
            raise NotFound(f"snapshot {key} is not here") from error
