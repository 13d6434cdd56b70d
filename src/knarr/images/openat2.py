"""Open a path that a stranger chose without leaving a directory (openat2, kernel 5.6 and later; base/linux.py).

IN_ROOT resolves absolute links and `..` as if the directory were `/`; NO_SYMLINKS follows none at all. Magic links of
/proc are never followed.
"""

from typing import Final

from knarr.base import linux

IN_ROOT: Final = linux.RESOLVE_IN_ROOT
NO_SYMLINKS: Final = linux.RESOLVE_NO_SYMLINKS


def openat2(directory: int, path: bytes, flags: int, resolve: int = IN_ROOT) -> int:
    """A descriptor of `path` below the open directory. Raises OSError."""
    return linux.openat2(directory, path or b".", flags, resolve | linux.RESOLVE_NO_MAGICLINKS)
