"""ImageFsInfo: how much the images take, blobs and unpacked file systems together."""

import time
from pathlib import Path

from knarr.base.errors import NotFound
from knarr.cri.messages.image import FilesystemIdentifier, FilesystemUsage, ImageFsInfoResponse, UInt64Value
from knarr.images.content import ContentStore
from knarr.images.gc import SnapshotTree


class FileSystemUsage:
    """Remembers the size of committed snapshots, which never changes; walks only what is writable."""

    def __init__(self, content: ContentStore, snapshots: SnapshotTree, root: Path) -> None:
        self._content = content
        self._snapshots = snapshots
        self._root = root
        self._committed: dict[str, tuple[int, int]] = {}

    def measure(self) -> ImageFsInfoResponse:
        """Blocks for as long as the disk takes."""
        keys = self._snapshots.keys()
        self._committed = {key: usage for key, usage in self._committed.items() if key in keys}
        size = inodes = 0
        for blob in self._content.walk():
            size, inodes = size + blob.size, inodes + 1
        for key in keys:
            added = self._usage(key)
            size, inodes = size + added[0], inodes + added[1]
        usage = FilesystemUsage(
            timestamp=time.time_ns(),
            fs_id=FilesystemIdentifier(mountpoint=str(self._root)),
            used_bytes=UInt64Value(value=size),
            inodes_used=UInt64Value(value=inodes),
        )
        return ImageFsInfoResponse(image_filesystems=(usage,), container_filesystems=(usage,))

    def _usage(self, key: str) -> tuple[int, int]:
        if key in self._committed:
            return self._committed[key]
        try:
            usage, is_committed = self._snapshots.usage(key), self._snapshots.is_committed(key)
        except (NotFound, FileNotFoundError):  # removed since the keys were read
            return 0, 0
        if is_committed:
            self._committed[key] = usage
        return usage
