"""The reserve: a file beside the database whose room is given up when the disk is full, so that deletions go on.

While it is given up only deletions, and changes of what is being deleted, are written; everything else waits for room.
It is taken back by the first write that finds room enough on the disk again. Nothing here knows SQLite.
"""

import os
from pathlib import Path
from typing import Final

RESERVE_BYTES: Final = 32 * 1024 * 1024
"""Some 100,000 deletions with their log."""
DELETING: Final = b'"deletionTimestamp":'
TEXT: Final = "the store has no room on its disk: until there is, it takes deletions only"


class Reserve:
    """`size` 0 keeps nothing and refuses nothing."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._size = size
        self.is_given_up = False
        if size:
            self._take()

    def give_up(self) -> None:
        """The disk is full: let go of the room."""
        if self._size:
            self._path.unlink(missing_ok=True)
            self.is_given_up = True

    def allows(self, value: bytes | None) -> bool:
        """Whether this may be written now; takes the room back when there is enough."""
        if not self.is_given_up or value is None or DELETING in value:
            return True
        found = os.statvfs(self._path.parent)
        if found.f_bavail * found.f_frsize >= 2 * self._size and self._take():
            self.is_given_up = False
            return True
        return False

    def _take(self) -> bool:
        """Fill the file with real blocks; False when there is no room for it, and then there is no reserve."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._size)
            finally:
                os.close(descriptor)
        except OSError:
            self._path.unlink(missing_ok=True)
            return False
        return True
