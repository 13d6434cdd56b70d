"""What a cluster left on this machine without a record of it: a delete that was killed, a state that was lost.

`found` tells, by the names that a cluster's name gives (settings.py): processes, mounts, bridge, rules, control groups,
directories; `unseen` tells what it could not look at. `remove` takes all of it away, in that order, and may be
repeated. `names` are the clusters that anything carries the name of. Not here: the ordinary end of a cluster, with its
pods' grace (node.py::tear_down).
"""

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from knarr.assembly import settings as settings_module
from knarr.assembly import supervise
from knarr.assembly.settings import Settings
from knarr.base import linux, removal
from knarr.base.errors import KnarrError
from knarr.criserver import compose
from knarr.network import nft, ruleset
from knarr.runtime.cgroups import ROOT, Cgroups

STATE, RUN = Path("/var/lib/knarr"), Path("/run/knarr")
LINKS = Path("/sys/class/net")
GONE_SECONDS = 5.0
"""How long what was killed may take to leave its control group."""
_PREFIX = "knarr-"


def names() -> list[str]:
    """The clusters that have a directory or a control group here."""
    groups = {path.name for pattern in ("*", "*/*") for path in ROOT.glob(f"{pattern}/{_PREFIX}*") if path.is_dir()}
    groups |= {path.name for path in ROOT.glob(f"{_PREFIX}*") if path.is_dir()}
    directories = {path.name for top in (STATE, RUN) if top.is_dir() for path in top.iterdir() if path.is_dir()}
    return sorted({group.removeprefix(_PREFIX) for group in groups} | directories)


def found(settings: Settings) -> list[str]:
    """One line for each thing that carries the cluster's name."""
    lines = [f"process {pid}" for pid in processes(settings.name)]
    lines += [f"mount {point}" for point in _mounts(settings)]
    lines += [f"link {settings.bridge}"] if (LINKS / settings.bridge).exists() else []
    lines += [f"nftables table {table}" for table in _tables(settings.nft_table)]
    lines += [f"cgroup {settings.cgroup}"] if _has_group(settings.cgroup) else []
    return lines + [f"directory {path}" for path in _directories(settings) if path.is_dir()]


def unseen() -> list[str]:
    """One line for each sort of thing that nobody can look at here: there may be some of any cluster's."""
    try:
        nft.run_now("list tables")
    except nft.Absent:
        return []
    except KnarrError as error:
        return [f"nftables tables cannot be listed ({error})"]
    return []


def remove(settings: Settings) -> None:
    """End and remove all of it; what refuses to go is told by the next `found`."""
    if settings.run_dir.is_dir():
        supervise.stop(settings, supervise.roles(settings))  # else each would start the other again
    for pid in processes(settings.name):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    cgroups = Cgroups()
    cgroups.kill(settings.cgroup)
    for point in _mounts(settings):
        linux.umount(point)
    if (LINKS / settings.bridge).exists() or _tables(settings.nft_table):
        names = ruleset.Names(settings.nft_table, settings.bridge, settings.port)
        asyncio.run(compose.bridge_network(settings.run_dir, names, settings.pod_network).tear_down())
    remove_group(cgroups, settings.cgroup)
    forget(settings)


def remove_group(cgroups: Cgroups, path: str, seconds: float = GONE_SECONDS) -> bool:
    """Remove a control group from which the last member is on its way out; False if one stays that long."""
    end = time.monotonic() + seconds
    while not cgroups.remove(path):
        if time.monotonic() > end:
            return False
        time.sleep(0.01)  # version 1 tells nobody when a group is empty
    return True


def forget(settings: Settings) -> None:
    """Remove the cluster's directories; the file that says whose they are goes last: who is interrupted goes on."""
    for path in (settings.secrets_dir, settings.run_dir):
        removal.drop_tree(path)
    for entry in _entries(settings.data_dir):
        if entry.is_dir() and not entry.is_symlink():
            removal.drop_tree(entry)
        elif entry.name != settings_module.FILE_NAME:
            entry.unlink(missing_ok=True)
    if [entry.name for entry in _entries(settings.data_dir)] in ([], [settings_module.FILE_NAME]):
        removal.drop_tree(settings.data_dir)


def _entries(directory: Path) -> list[Path]:
    return list(directory.iterdir()) if directory.is_dir() else []


def state_elsewhere(settings: Settings) -> str:
    """The state directory that a running process of that name has and these settings have not; "" without one."""
    own = set(processes(settings.name))
    for pid, line in _command_lines():
        words = line.decode(errors="replace").split("\0")
        if pid in own and "--data-dir" in words:
            state = words[words.index("--data-dir") + 1]
            if state != str(settings.data_dir):
                return state
    return ""


def processes(name: str) -> list[int]:
    """Pids of the cluster's own processes and of its containers' monitors, by their command lines."""
    own = re.compile(rf"-m\0knarr\0(?:control|node)\0--name\0{re.escape(name)}\0".encode())
    monitor = f"/run/knarr/{name}/".encode()
    return [pid for pid, line in _command_lines() if own.search(line) or (b"conmon\0" in line and monitor in line)]


def _command_lines() -> Iterator[tuple[int, bytes]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isascii() and entry.name.isdigit():
            with contextlib.suppress(OSError):
                yield int(entry.name), (entry / "cmdline").read_bytes()


def _mounts(settings: Settings) -> list[Path]:
    return [point for top in (settings.run_dir, settings.data_dir) for point in linux.mounts_below(top)]


def _tables(name: str) -> list[str]:
    try:
        listing = nft.run_now("list tables")
    except KnarrError:
        return []  # without nftables there is no table, and `unseen` says that there may be one
    return [line.removeprefix("table ") for line in listing.splitlines() if line.endswith(f" {name}")]


def _has_group(path: str) -> bool:
    return any((top / path.strip("/")).is_dir() for top in (ROOT, *ROOT.iterdir())) if ROOT.is_dir() else False


def _directories(settings: Settings) -> tuple[Path, ...]:
    return settings.secrets_dir, settings.run_dir, settings.data_dir
