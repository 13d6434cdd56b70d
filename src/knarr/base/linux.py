"""System calls of Linux that Python 3.11's standard library lacks: mount, mount_setattr, unshare, setns, openat2.

Thin: numbers in, OSError out. `unshare` and `setns` act on the calling thread alone; callers give them a thread of
their own. Not here: what is mounted where, and which namespace is for what (runtime, network, criserver, images).
"""

import ctypes
import errno
import os
import re
from pathlib import Path
from typing import Final

CLONE_FS: Final = 0x00000200
CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWNET: Final = 0x40000000

MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MS_NOEXEC: Final = 8
MS_REMOUNT: Final = 32
MS_BIND: Final = 4096
MS_REC: Final = 16384
MS_PRIVATE: Final = 1 << 18
MS_SLAVE: Final = 1 << 19

MNT_DETACH: Final = 2

RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_NO_SYMLINKS: Final = 0x04
RESOLVE_BENEATH: Final = 0x08
RESOLVE_IN_ROOT: Final = 0x10

# The same numbers on every architecture.
_SYS_OPEN_TREE: Final = 428
_SYS_MOVE_MOUNT: Final = 429
_SYS_FSOPEN: Final = 430
_SYS_FSCONFIG: Final = 431
_SYS_FSMOUNT: Final = 432
_SYS_OPENAT2: Final = 437
_SYS_MOUNT_SETATTR: Final = 442
_AT_FDCWD: Final = -100
_AT_EMPTY_PATH: Final = 0x1000
_AT_RECURSIVE: Final = 0x8000
_OPEN_TREE_CLONE: Final = 1
_FSOPEN_CLOEXEC: Final = 1
_FSMOUNT_CLOEXEC: Final = 1
_FSCONFIG_CMD_CREATE: Final = 6
_MOVE_MOUNT_F_EMPTY_PATH: Final = 4
_MOUNT_ATTR_IDMAP: Final = 0x00100000
_OPEN_TRIES: Final = 128
_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str | Path, kind: str | None, flags: int, options: str = "") -> None:
    """mount(2); `options` is what the file system itself reads."""
    called = _libc.mount(
        source.encode(),
        os.fsencode(target),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        options.encode() or None,
    )
    _check(called, target)


def umount(target: str | Path, flags: int = MNT_DETACH) -> None:
    """umount2(2); a target that is no mount point (EINVAL) or is gone (ENOENT) counts as unmounted."""
    try:
        _check(_libc.umount2(os.fsencode(target), flags), target)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def mounts_below(directory: Path) -> list[Path]:
    """Mount points in or below the directory as this process sees them, the deepest first."""
    found = []
    own, prefix = os.fsencode(directory), os.fsencode(directory) + b"/"
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        # The kernel writes a blank, a tab, a line break and a backslash as three octal digits.
        point = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), line.split(b" ")[4])
        if point == own or point.startswith(prefix):
            found.append(Path(os.fsdecode(point)))
    return sorted(found, key=lambda path: len(path.parts), reverse=True)


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def clone_mapped(source: str | Path, user_namespace: int) -> int:
    """A descriptor of a mount that is nowhere yet: what is at `source`, its files' ids as that user namespace maps
    them. What is mounted below `source` comes along, with its ids as they are. Later mounts there are seen; to take
    the clone apart takes nothing apart of the source. EINVAL: its file system cannot."""
    tree = clone(source)
    try:
        map_ids(tree, user_namespace)
    except BaseException:
        os.close(tree)
        raise
    return tree


def clone(source: str | Path | int) -> int:
    """A descriptor of a mount that is nowhere yet: what is at the path or behind the descriptor `source`, with what is
    mounted below it. Later mounts there are seen; to take the clone apart takes nothing apart of the source. ENOSYS
    before Linux 5.12."""
    directory, path = (source, b"") if isinstance(source, int) else (_AT_FDCWD, os.fsencode(source))
    flags = _OPEN_TREE_CLONE | _AT_RECURSIVE | os.O_CLOEXEC | (0 if path else _AT_EMPTY_PATH)
    tree = int(_libc.syscall(_SYS_OPEN_TREE, directory, path, flags))
    _check(tree, source)
    try:
        _set_attributes(tree, _AT_EMPTY_PATH | _AT_RECURSIVE, _MountAttr(propagation=MS_SLAVE))
    except BaseException:
        os.close(tree)
        raise
    return tree


def map_ids(tree: int, user_namespace: int) -> None:
    """Show the ids of a mount that is nowhere yet as that user namespace maps them. EINVAL: its file system cannot."""
    _set_attributes(tree, _AT_EMPTY_PATH, _MountAttr(attr_set=_MOUNT_ATTR_IDMAP, userns_fd=user_namespace))


def detached_tmpfs() -> int:
    """A descriptor of a new tmpfs that is mounted nowhere, and gone with it."""
    context = int(_libc.syscall(_SYS_FSOPEN, b"tmpfs", _FSOPEN_CLOEXEC))
    _check(context, "fsopen")
    try:
        _check(_libc.syscall(_SYS_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0), "fsconfig")
        tree = int(_libc.syscall(_SYS_FSMOUNT, context, _FSMOUNT_CLOEXEC, 0))
        _check(tree, "fsmount")
    finally:
        os.close(context)
    return tree


def _set_attributes(tree: int, flags: int, attributes: _MountAttr) -> None:
    size = ctypes.sizeof(attributes)
    _check(_libc.syscall(_SYS_MOUNT_SETATTR, tree, b"", flags, ctypes.byref(attributes), size), "mount_setattr")


def attach(tree: int, target: str | Path) -> None:
    """Mount what `clone` or `clone_mapped` made."""
    encoded = os.fsencode(target)
    _check(_libc.syscall(_SYS_MOVE_MOUNT, tree, b"", _AT_FDCWD, encoded, _MOVE_MOUNT_F_EMPTY_PATH), target)


def unshare(flags: int) -> None:
    """Give the calling thread namespaces of its own."""
    _check(_libc.unshare(flags), "unshare")


def setns(descriptor: int, kind: int) -> None:
    """Move the calling thread into the namespace behind `descriptor`."""
    _check(_libc.setns(descriptor, kind), "setns")


def sethostname(name: str) -> None:
    """Set the host name of the calling thread's UTS namespace."""
    encoded = name.encode()
    _check(_libc.sethostname(encoded, len(encoded)), "sethostname")


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def openat2(directory: int, path: str | bytes, flags: int, resolve: int, mode: int = 0) -> int:
    """openat2(2): open `path` below `directory` under the rules in `resolve`.

    The kernel gives up with EAGAIN when somebody renames on the way; whoever renames for ever gets that error.
    """
    encoded = os.fsencode(path)
    if b"\0" in encoded:
        raise OSError(errno.EINVAL, "embedded NUL", os.fsdecode(path))
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    opened = -1
    for _ in range(_OPEN_TRIES):
        opened = int(_libc.syscall(_SYS_OPENAT2, directory, encoded, ctypes.byref(how), ctypes.sizeof(how)))
        if opened >= 0 or ctypes.get_errno() not in (errno.EAGAIN, errno.EINTR):
            break
    _check(opened, os.fsdecode(path))
    return opened


def _check(returned: int, subject: object) -> None:
    if returned == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(subject))
