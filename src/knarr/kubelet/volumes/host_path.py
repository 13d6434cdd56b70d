"""hostPath: check (or create) what is at the path, by its type. Spec: docs "Volumes, hostPath"."""

import stat
from collections.abc import Callable
from pathlib import Path

from knarr.base.errors import Invalid
from knarr.kinds.lens.volumes import HostPathVolumeSource

# type → (what upstream calls it in its refusal, the test of the file mode)
_CHECKS: dict[str, tuple[str, Callable[[int], bool]]] = {
    "Directory": ("directory", stat.S_ISDIR),
    "DirectoryOrCreate": ("directory", stat.S_ISDIR),
    "File": ("file", stat.S_ISREG),
    "FileOrCreate": ("file", stat.S_ISREG),
    "Socket": ("socket", stat.S_ISSOCK),
    "CharDevice": ("character device", stat.S_ISCHR),
    "BlockDevice": ("block device", stat.S_ISBLK),
}


def prepare(source: HostPathVolumeSource) -> Path:
    """The path to mount; Invalid if what is there is not of the wanted type."""
    path, wanted = Path(source.path), source.type or ""
    if wanted == "DirectoryOrCreate" and not path.exists():
        path.mkdir(mode=0o755, parents=True, exist_ok=True)
    elif wanted == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    elif wanted == "" and not path.exists():
        path.mkdir(mode=0o755, parents=True, exist_ok=True)  # as container runtimes do for a bind source
    if wanted in _CHECKS:
        name, holds = _CHECKS[wanted]
        if not path.exists() or not holds(path.stat().st_mode):
            raise Invalid(f"hostPath type check failed: {path} is not a {name}")
    return path
