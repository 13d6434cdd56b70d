"""Guards a root file system before the runtime mounts on it: no symbolic link of an image may lead a mount outside.

Old runtimes follow an image's `/dev` or `/proc` that is a link (CVE-2026-41579, CVE-2026-47766). So those must be plain
directories, and every other mount target is resolved here, inside the root, to a path without links.
A race needs a process that writes to the root, and none runs yet. In a volume one may run, and the runtime follows its
links: so where the mounts have come to lie is looked at before anything starts. (TRUST, SEC-25, SEC-26.)
"""

import os
import re
import stat
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from knarr.base.errors import Invalid

PLAIN: Final = ("dev", "proc", "sys", "etc")
_FORBIDDEN: Final = ("/proc", "/sys", "/dev/pts")
_DEVICES: Final = str.split("null zero full random urandom tty console ptmx fd stdin stdout stderr core")
"""What the runtime makes in a container's /dev and uses itself: it masks paths with /dev/null (CVE-2025-31133)."""
LINKS_MAX: Final = 40
"""As the kernel follows in one path."""


def check(rootfs: Path) -> None:
    """Raises Invalid when a directory that the runtime mounts on, or writes to, is not one."""
    for name in PLAIN:
        path = rootfs / name
        try:
            mode = path.lstat().st_mode
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(mode):
            kind = "a symbolic link" if stat.S_ISLNK(mode) else "not a directory"
            raise Invalid(f"image: /{name} is {kind}; refusing to mount on it")


def resolve(rootfs: Path, target: str) -> str:
    """The mount target as a path without links; parts that do not exist yet stay as they are. Raises Invalid."""
    if "\0" in target or ".." in target.split("/"):
        raise Invalid(f"mount target {target!r} must not hold '..' or NUL")
    ahead, resolved, links = _parts(target), list[str](), 0
    while ahead:
        part = ahead.pop(0)
        if part == "..":
            # Of a link in the image; above the root is the root.
            del resolved[-1:]
            continue
        try:
            link = os.readlink(rootfs.joinpath(*resolved, part))
        except OSError:
            resolved.append(part)
            continue
        links += 1
        if links > LINKS_MAX:
            raise Invalid(f"mount target {target!r}: too many symbolic links")
        ahead = _parts(link) + ahead
        if link.startswith("/"):
            resolved = []
    return "/" + "/".join(resolved)


def check_target(target: str, *, is_privileged: bool) -> None:
    """Raises Invalid for a mount on or below /proc or /sys, which could stand in for what the kernel shows there, and
    for one in the place of /dev or its devices, which the runtime takes for its own."""
    if is_privileged:
        return
    for forbidden in _FORBIDDEN:
        if target == forbidden or target.startswith(forbidden + "/"):
            raise Invalid(f"mount target {target} lies in {forbidden}; refusing it")
    directory, _, name = target.rpartition("/")
    if target == "/dev" or (directory == "/dev" and name in _DEVICES):
        raise Invalid(f"mount target {target} stands in the place of the container's own devices; refusing it")


def check_mounted(mountinfo: str, targets: Iterable[str]) -> None:
    """Raises Invalid unless a mount lies on each target, of a container that is made and not started yet.

    With as many mounts as targets, none can then lie anywhere else: so a target that is named twice wants two.
    """
    points = Counter(_unescaped(line.split(" ")[4]) for line in mountinfo.splitlines())
    for target, wanted in Counter(targets).items():
        if points[target] < wanted:
            raise Invalid(f"mount target {target}: a symbolic link in a volume led the mount elsewhere; refusing it")


def _unescaped(point: str) -> str:
    """The kernel writes a blank, a tab, a line break and a backslash as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), point, flags=re.ASCII)


def make_directory(rootfs: Path, path: str, uid: int, gid: int) -> None:
    """Make the working directory with those above it, inside the root, as owned by its user; Invalid if a file is
    in the way."""
    place = rootfs
    for part in resolve(rootfs, path).strip("/").split("/"):
        if not part:
            continue
        place = place / part
        try:
            place.mkdir(mode=0o755)
            os.chown(place, uid, gid)
        except FileExistsError:
            if not stat.S_ISDIR(place.lstat().st_mode):
                raise Invalid(f"working directory {path}: {part} is not a directory") from None


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]
