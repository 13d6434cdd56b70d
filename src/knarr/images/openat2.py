"""openat2(2) by ctypes: open a path that a stranger chose without leaving a directory (kernel 5.6 and later).

IN_ROOT resolves absolute links and `..` as if the directory were `/`; NO_SYMLINKS follows none at all. Magic links of
/proc are never followed.
"""

import ctypes
import errno
import os

IN_ROOT = 0x10
NO_SYMLINKS = 0x04
_NO_MAGICLINKS = 0x02
_SYS_OPENAT2 = 437
_libc = ctypes.CDLL(None, use_errno=True)


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


def openat2(directory: int, path: bytes, flags: int, resolve: int = IN_ROOT) -> int:
    """A descriptor of `path` below the open directory. Raises OSError."""
    if b"\0" in path:
        raise OSError(errno.EINVAL, "embedded NUL", os.fsdecode(path))
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve | _NO_MAGICLINKS)
    while True:
        descriptor: int = _libc.syscall(_SYS_OPENAT2, directory, path or b".", ctypes.byref(how), ctypes.sizeof(how))
        if descriptor >= 0:
            return descriptor
        code = ctypes.get_errno()
        if code not in (errno.EINTR, errno.EAGAIN):
            raise OSError(code, os.strerror(code), os.fsdecode(path))
