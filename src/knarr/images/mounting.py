"""Mount what a snapshotter returned onto a directory, and take it off again (the system calls: base/linux.py).

An overlay's options must fit in one page; longer chains are mounted from a thread of its own that stands in the
directory of the short links, so that each lower is one small number.
"""

import os
import threading
from collections.abc import Sequence
from pathlib import Path

from knarr.base import linux
from knarr.base.errors import Unavailable
from knarr.oci.mount import Mount

_FLAGS = {"ro": 1, "nosuid": 2, "nodev": 4, "noexec": 8, "remount": 32, "bind": 4096, "rbind": 4096 | 16384}
_IGNORED = {"rw", "defaults"}
_MS_REMOUNT_RO_BIND = 32 | 4096 | 1
_PAGE = 4096 - 1


def mount(mounts: Sequence[Mount], target: Path) -> None:
    """Do the mounts on `target`, all or none. Raises Unavailable with the kernel's word."""
    done: list[Path] = []
    try:
        for entry in mounts:
            place = target / entry.target if entry.target else target
            _mount_one(entry, place)
            done.append(place)
    except BaseException:
        for place in reversed(done):
            unmount(place)
        raise


def unmount(target: Path) -> None:
    """Detach what is mounted on `target`; nothing mounted is no error."""
    try:
        linux.umount(target)
    except OSError as error:
        raise Unavailable(f"umount {target}: {error.strerror}") from error


def _mount_one(entry: Mount, place: Path) -> None:
    flags, options = 0, []
    for option in entry.options:
        if option in _FLAGS:
            flags |= _FLAGS[option]
        elif option not in _IGNORED:
            options.append(option)
    text = ",".join(options)
    if len(text) > _PAGE and entry.type == "overlay":
        _mount_near(entry, place, flags, options)
        return
    _call(entry.source, place, entry.type, flags, text)
    if flags & 4096 and flags & 1:
        _call("none", place, "", _MS_REMOUNT_RO_BIND, "")


def _mount_near(entry: Mount, place: Path, flags: int, options: list[str]) -> None:
    """Mount with lowers relative to their common directory, from a thread with a working directory of its own."""
    lowers = options[0].removeprefix("lowerdir=").split(":")
    base = os.path.dirname(lowers[0])
    text = ",".join(["lowerdir=" + ":".join(os.path.relpath(lower, base) for lower in lowers), *options[1:]])
    failures: list[BaseException] = []

    def run() -> None:
        try:
            linux.unshare(linux.CLONE_FS)
            os.chdir(base)
            _call(entry.source, place.absolute(), entry.type, flags, text)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="mount")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def _call(source: str, place: Path, kind: str, flags: int, options: str) -> None:
    try:
        linux.mount(source, place, kind, flags, options)
    except OSError as error:
        raise Unavailable(f"mount {kind or 'bind'} on {place}: {error.strerror}") from error
