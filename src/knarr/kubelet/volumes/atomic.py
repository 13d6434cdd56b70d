"""Writes a set of files so that a reader sees the old set or the new one, never a mixture.

The layout is upstream's: `NAME -> ..data/NAME`, `..data -> ..<time>`, and the files in that time-stamped folder; an
update writes a new folder and swaps the link `..data` by rename. What was cut short, before the swap or after it, the
next write makes good. Not here: what the files are (volumes/files.py).
"""

import os
import shutil
import stat
import time
from collections.abc import Mapping
from pathlib import Path

from knarr.base import removal
from knarr.base.errors import Invalid
from knarr.base.ids import RandomBytes
from knarr.kubelet.volumes.files import File

CURRENT = "..data"
STAMP = "..%Y_%m_%d_%H_%M_%S."


def write(
    directory: Path, files: Mapping[str, File], *, gid: int | None = None, random: RandomBytes = os.urandom
) -> bool:
    """Make the directory show exactly these files; False if it already does. `gid` is the pod's fsGroup."""
    for name in files:
        _check(name)
    directory.mkdir(parents=True, exist_ok=True)
    current = directory / CURRENT
    if current.is_symlink() and _holds(current, files, gid):
        _link(directory, files)
        _sweep(directory)
        return False
    # The time is for people who look; the number tells two of one second apart.
    fresh = directory / f"{time.strftime(STAMP, time.gmtime())}{int.from_bytes(random(4)):010}"
    try:
        _write_all(fresh, files, gid)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)  # what cannot be written is tried again and again
        raise
    if gid is not None:
        _own_directory(directory, gid)
    draft = directory / "..data_tmp"
    draft.unlink(missing_ok=True)
    draft.symlink_to(fresh.name)
    os.rename(draft, current)
    _link(directory, files)
    _sweep(directory)
    return True


def _write_all(fresh: Path, files: Mapping[str, File], gid: int | None) -> None:
    fresh.mkdir(mode=0o755)
    os.chmod(fresh, 0o755)  # noqa: S103  # containers of any user read it, whatever the umask
    for name, file in files.items():
        _write_file(fresh, name, file, gid)
    if gid is not None:
        _own_directory(fresh, gid)


def _check(name: str) -> None:
    parts = name.split("/")
    if not name or name.startswith("/") or ".." in parts or parts[0].startswith("..") or "\0" in name:
        raise Invalid(f"invalid path {name!r}: it must be relative and stay inside the volume")


def _holds(current: Path, files: Mapping[str, File], gid: int | None) -> bool:
    found = _found(current)
    if found.keys() != files.keys():
        return False
    return all(
        found[name].read_bytes() == file.content
        and stat.S_IMODE(found[name].stat().st_mode) == _mode(file, gid)
        and (gid is None or found[name].stat().st_gid == gid)
        and (file.owner is None or found[name].stat().st_uid == file.owner)
        for name, file in files.items()
    )


def _found(current: Path) -> dict[str, Path]:
    root = Path(os.path.realpath(current))
    return {str(path.relative_to(root)): path for path in root.rglob("*") if path.is_file()}


def _mode(file: File, gid: int | None) -> int:
    """With an fsGroup the group may read whatever the mode says."""
    return file.mode if gid is None else file.mode | 0o440


def _write_file(root: Path, name: str, file: File, gid: int | None) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.content)
    if gid is not None:
        os.chown(path, -1, gid)
        for parent in path.relative_to(root).parents:
            _own_directory(root / parent, gid)
    if file.owner is not None:
        os.chown(path, file.owner, -1)
    os.chmod(path, _mode(file, gid))


def _own_directory(path: Path, gid: int) -> None:
    os.chown(path, -1, gid)
    os.chmod(path, 0o2775 if stat.S_IMODE(path.stat().st_mode) & 0o020 else 0o2755)


def _link(directory: Path, files: Mapping[str, File]) -> None:
    """One link for each first path element, none for what is gone. A directory is what a subPath of a name that was
    not there has made, with those below it: it yields to the file, and is left alone otherwise."""
    wanted = {name.split("/")[0] for name in files}
    for name in wanted:
        link = directory / name
        if link.is_dir() and not link.is_symlink():
            removal.remove_tree(link)
        if not link.is_symlink():
            link.symlink_to(f"{CURRENT}/{name}")
    for name in os.listdir(directory):
        if not name.startswith("..") and name not in wanted and (directory / name).is_symlink():
            os.unlink(directory / name)


def _sweep(directory: Path) -> None:
    """Remove every time-stamped folder but the one that is shown: the one before, and those of writes cut short."""
    shown = os.readlink(directory / CURRENT)
    for name in os.listdir(directory):
        if name.startswith("..") and name not in (CURRENT, shown) and not (directory / name).is_symlink():
            shutil.rmtree(directory / name, ignore_errors=True)
