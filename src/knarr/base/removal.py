"""Remove a tree that somebody else filled: as deep as they like, and with whatever still mounted in it.

`shutil.rmtree` calls itself and holds a descriptor for each level, so a container can make a directory that it cannot
remove; and it empties what is mounted inside. Here each directory is first moved up to the top, where it is emptied:
two descriptors are enough for any depth, and the kernel refuses to move what something is mounted on. What cannot be
moved out of its place (a directory of an overlay's lower layers, of another btrfs subvolume) is emptied there in the
same way, to a certain depth.
"""

import contextlib
import errno
import os
import secrets
from pathlib import Path

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_IN_PLACE_MAX = 64
"""How deep directories that cannot be moved may lie in each other: each takes two descriptors and a few calls."""


def remove_tree(path: Path | str, *, dir_fd: int | None = None) -> None:
    """Remove the directory and everything in it; the absent is removed already. Raises OSError of what stays.

    What cannot go stays, everything else goes. A link or a file at `path` is not a tree: NotADirectoryError.
    """
    _remove(path, dir_fd, depth=0)


def _remove(path: Path | str, dir_fd: int | None, depth: int) -> None:
    try:
        top = os.open(path, _DIRECTORY, dir_fd=dir_fd)
    except FileNotFoundError:
        return
    try:
        failure = _Emptying(top, depth).run()
    finally:
        os.close(top)
    if failure is not None:
        raise failure
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(path, dir_fd=dir_fd)


def drop_tree(path: Path | str) -> None:
    """Remove what can be removed, as remove_tree; what stays is left for a later start to find."""
    with contextlib.suppress(OSError):
        remove_tree(path)


class _Emptying:
    """Empties one directory. `moved` are directories that lie in it now and wait for their turn.
    `depth` is how many directories above it could not be moved."""

    def __init__(self, top: int, depth: int) -> None:
        self._top = top
        self._depth = depth
        self._token = secrets.token_hex(6)
        self._number = 0
        self._moved: list[str] = []
        self._failure: OSError | None = None

    def run(self) -> OSError | None:
        """The first thing that could not go, None when all is gone."""
        self._take(self._top)
        while self._moved:
            name = self._moved.pop()
            try:
                descriptor = os.open(name, _DIRECTORY, dir_fd=self._top)
                try:
                    self._take(descriptor)
                finally:
                    os.close(descriptor)
                os.rmdir(name, dir_fd=self._top)
            except OSError as error:
                self._failure = self._failure or error
        return self._failure

    def _take(self, directory: int) -> None:
        with os.scandir(directory) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for name, is_directory in found:
            try:
                if is_directory:
                    self._move(directory, name)
                else:
                    os.unlink(name, dir_fd=directory)
            except FileNotFoundError:
                continue
            except OSError as error:
                self._failure = self._failure or error

    def _move(self, directory: int, name: str) -> None:
        self._number += 1
        place = f".{self._token}.{self._number}"
        try:
            os.rename(name, place, src_dir_fd=directory, dst_dir_fd=self._top)
        except PermissionError:
            # Moving wants to write into the directory itself, removing an empty one does not.
            os.rmdir(name, dir_fd=directory)
        except OSError as error:
            if error.errno != errno.EXDEV or self._depth >= _IN_PLACE_MAX:
                raise
            _remove(name, directory, self._depth + 1)
        else:
            self._moved.append(place)
