"""User namespaces of pods (hostUsers: false): what CRI asks for, and files that show the pod's ids as its own.

The namespace is the sandbox's, pinned beside its others, and every container joins it. Files are mapped by idmapped
mounts (mount_setattr(2)): each source of a bind mount, and the layers of an image below a plain upper one, since
overlayfs itself cannot be mapped. Those mounts lie in the container's directory, which its root may pass.
Which ids of the host: kubelet/user_namespaces.py. Spec: docs "User Namespaces"; user_namespaces(7).
"""

import asyncio
import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from knarr.base import linux
from knarr.base.errors import Invalid, KnarrError
from knarr.base.id_mappings import IdMapping, IdMappings
from knarr.cri.messages.config import IDMapping, NamespaceOption, PodSandboxConfig
from knarr.cri.messages.enums import NamespaceMode
from knarr.network import namespaces
from knarr.runtime.spec import VolumeMount

_TRIED: Final = IdMappings((IdMapping(0, 65536, 1),), (IdMapping(0, 65536, 1),))
_VOLUMES: Final = "mapped"
_AGAIN_SECONDS: Final = 60.0
# Flags of statvfs(3) → the mount option that a container must not lose when it makes a mount of ours read-only.
_LOCKED: Final = {os.ST_NOSUID: "nosuid", os.ST_NODEV: "nodev", os.ST_NOEXEC: "noexec"}


@dataclass(frozen=True, slots=True)
class Users:
    """The user namespace of a pod: its ids, and the file that it is pinned on."""

    mappings: IdMappings
    pin: Path


def wanted(options: NamespaceOption) -> IdMappings | None:
    """The ids of the namespace that is asked for; None for the host's own. Raises Invalid for what cannot be."""
    asked = options.userns_options
    if asked is None or asked.mode is NamespaceMode.NODE:
        return None
    if asked.mode is not NamespaceMode.POD:
        raise Invalid(f"unsupported user namespace mode: {asked.mode.name}")
    if not asked.uids or not asked.gids:
        raise Invalid("a user namespace needs mappings of uids and of gids")
    hosts = {"network": options.network, "pid": options.pid, "ipc": options.ipc}
    for kind, mode in hosts.items():
        if mode is NamespaceMode.NODE:
            raise Invalid(f"a pod with a user namespace cannot use the host's {kind} namespace")
    return IdMappings(_mappings(asked.uids), _mappings(asked.gids))


def of_sandbox(config: PodSandboxConfig) -> IdMappings | None:
    """The ids of the namespace that a pod has for itself."""
    context = config.linux.security_context if config.linux else None
    return wanted((context.namespace_options if context else None) or NamespaceOption())


def _mappings(asked: Sequence[IDMapping]) -> tuple[IdMapping, ...]:
    """Raises Invalid for ranges that are empty or in each other's way, and for none that holds root."""
    found = tuple(IdMapping(each.container_id, each.host_id, each.length) for each in asked)
    for start in ("container_id", "host_id"):
        ranges = sorted((getattr(each, start), each.length) for each in found)
        ends = [first + length for first, length in ranges]
        if any(length == 0 for _, length in ranges) or any(
            end > following for end, (following, _) in zip(ends, ranges[1:], strict=False)
        ):
            raise Invalid(f"mappings of a user namespace are empty or overlap in {start}")
    if not any(each.container_id == 0 for each in found):
        raise Invalid("container ID 0 has no mapping in the user namespace")
    return found


def are_possible(directory: Path) -> bool:
    """Whether this kernel makes user namespaces, and maps the ids of files that lie in the directory and in memory,
    where tokens, Secrets and /dev/shm are (since 6.3)."""
    try:
        with namespaces.user_namespace(_TRIED) as namespace:
            os.close(linux.clone_mapped(directory, namespace))
            memory = linux.detached_tmpfs()
            try:
                linux.map_ids(memory, namespace)
            finally:
                os.close(memory)
    except (KnarrError, OSError):
        return False
    return True


class Ability:
    """What `trial` last said. The kernel stays the same, so a yes is for good; a no may have been want of memory or of
    processes, and is asked again after a minute."""

    def __init__(self, trial: Callable[[], bool], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._trial = trial
        self._monotonic = monotonic
        self._is_there = False
        self._again_at = 0.0

    async def is_there(self) -> bool:
        if not self._is_there and self._monotonic() >= self._again_at:
            self._is_there = await asyncio.to_thread(self._trial)
            self._again_at = self._monotonic() + _AGAIN_SECONDS
        return self._is_there


def open_to(directory: Path, users: Users | None) -> None:
    """Make the directory one that nobody of the machine may pass but root and, of the pod, its root."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if users is not None:
        os.chown(directory, 0, users.mappings.gid(0))
        directory.chmod(0o710)


@contextlib.contextmanager
def shown(source: Path, place: Path, users: Users) -> Iterator[None]:
    """Show `source` at `place`, with the pod's ids, for a moment: overlays keep what they were mounted over."""
    place.mkdir(mode=0o700)
    _show(source, place, users)
    try:
        yield
    finally:
        linux.umount(place)
        place.rmdir()


def own(directory: Path, users: Users) -> None:
    """Give a directory of the host to the pod's root."""
    os.chown(directory, users.mappings.uid(0), users.mappings.gid(0))


def mapped(mounts: Sequence[VolumeMount], directory: Path, users: Users) -> list[VolumeMount]:
    """The same mounts, the sources of bind mounts shown with the pod's ids below the container's directory. What lies
    there already is mapped (image volumes)."""
    held = directory / _VOLUMES
    held.mkdir()
    held.chmod(0o711)
    return [
        _mapped(mount, held / str(number), users)
        if mount.type == "bind" and not Path(mount.source).is_relative_to(directory)
        else mount
        for number, mount in enumerate(mounts)
    ]


def _mapped(mount: VolumeMount, place: Path, users: Users) -> VolumeMount:
    source = Path(mount.source)
    if source.is_dir():
        place.mkdir()
    else:
        place.touch()
    _show(source, place, users)
    flags = os.statvfs(place).f_flag
    locked = [option for flag, option in _LOCKED.items() if flags & flag and option not in mount.options]
    return replace(mount, source=str(place), options=(*mount.options, *locked))


def _show(source: Path, place: Path, users: Users) -> None:
    namespace = os.open(users.pin, os.O_RDONLY | os.O_CLOEXEC)
    try:
        tree = linux.clone_mapped(source, namespace)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise Invalid(f"{source}: its file system cannot show the ids of a user namespace (idmapped mounts)") from error
    finally:
        os.close(namespace)
    try:
        linux.attach(tree, place)
    finally:
        os.close(tree)


def release_volumes(directory: Path) -> None:
    """Unmount what `mapped` mounted below the container's directory, once nobody is left to see it there."""
    release(directory / _VOLUMES)


def release(directory: Path) -> None:
    """Unmount what is mounted in the directory."""
    for point in linux.mounts_below(directory) if directory.is_dir() else ():
        linux.umount(point)
