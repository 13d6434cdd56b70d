"""Guards a root file system before the runtime mounts on it: no symbolic link of an image may lead a mount outside.

Old runtimes follow an image's `/dev` or `/proc` that is a link (CVE-2026-41579, CVE-2026-47766). So those must be plain
directories, and every other mount target is resolved here, inside the root, to a path without links.
A race needs a process that writes to the root, and none runs yet. (TRUST, SEC-25, SEC-26.)
"""

import os
import stat
from pathlib import Path
from typing import Final

from knarr.base import linux
from knarr.base.errors import Invalid

PLAIN: Final = ("dev", "proc", "sys", "etc")
_FORBIDDEN: Final = ("/proc", "/sys")
_RESOLVE: Final = linux.RESOLVE_IN_ROOT | linux.RESOLVE_NO_MAGICLINKS


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
    if not target.startswith("/"):
        target = "/" + target
    parts = [part for part in target.split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in target:
        raise Invalid(f"mount target {target!r} must not hold '..' or NUL")
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        there, missing = _deepest(root, parts)
        resolved = os.readlink(f"/proc/self/fd/{there}")
        base = os.readlink(f"/proc/self/fd/{root}")
        os.close(there)
    finally:
        os.close(root)
    inside = "/" + resolved.removeprefix(base).strip("/")
    return "/" + "/".join(part for part in (inside.strip("/"), *missing) if part)


def check_target(target: str, *, is_privileged: bool) -> None:
    """Raises Invalid for a mount on or below /proc or /sys: it could stand in for what the kernel shows there."""
    if is_privileged:
        return
    for forbidden in _FORBIDDEN:
        if target == forbidden or target.startswith(forbidden + "/"):
            raise Invalid(f"mount target {target} lies in {forbidden}; refusing it")


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


def _deepest(root: int, parts: list[str]) -> tuple[int, list[str]]:
    """A descriptor of the deepest part that exists, and the names that do not."""
    for length in range(len(parts), 0, -1):
        try:
            return linux.openat2(root, "/".join(parts[:length]), os.O_PATH, _RESOLVE), parts[length:]
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise Invalid(f"mount target /{'/'.join(parts)}: {error.strerror}") from error
    return os.dup(root), parts
