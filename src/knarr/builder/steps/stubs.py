"""Mount points that the runtime makes in a root file system, found before a RUN and removed after it.

Only what was missing before and is empty after goes; a file that the command wrote stays.
"""

import contextlib
import os
import posixpath
from collections.abc import Iterable

from knarr.builder.rootfs import Rootfs
from knarr.builder.trees import clean_path


def missing(rootfs: Rootfs, targets: Iterable[str]) -> list[str]:
    """Paths, parents first, that the mounts need and the root does not have; below links that lead somewhere."""
    found: dict[str, None] = {}
    for target in targets:
        resolved = ""
        parts = clean_path(target).split("/")
        for number, part in enumerate(parts):
            step = rootfs.resolve(posixpath.join(resolved, part))
            if step is None:
                for depth in range(number + 1, len(parts) + 1):
                    found[posixpath.join(resolved, *parts[number:depth])] = None
                break
            resolved = step
    return list(found)


def remove(rootfs: Rootfs, stubs: Iterable[str]) -> None:
    """Take away those that are still empty, and give their directory its time back."""
    for path in reversed(list(stubs)):
        parent, name = posixpath.split(path)
        with contextlib.suppress(OSError), rootfs.directory(parent) as directory:
            entry = rootfs.entry(path)
            if entry is None or (entry.kind == "file" and entry.size):
                continue
            before = os.fstat(directory)
            if entry.kind == "directory":
                os.rmdir(name, dir_fd=directory)
            else:
                os.unlink(name, dir_fd=directory)
            os.utime(directory, ns=(before.st_atime_ns, before.st_mtime_ns))
