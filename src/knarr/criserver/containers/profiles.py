"""Which seccomp and AppArmor profiles and which devices a container gets."""

import asyncio
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from knarr.base.errors import Invalid, NotFound
from knarr.cri.messages.config import ContainerConfig, LinuxContainerSecurityContext
from knarr.cri.messages.enums import ProfileType
from knarr.criserver.containers.settings import security
from knarr.runtime import apparmor, seccomp, spec
from knarr.wire import strict_json

_KEYS = ("defaultAction", "defaultErrnoRet", "architectures", "flags", "syscalls")


def seccomp_profile(context: LinuxContainerSecurityContext, capabilities: frozenset[str]) -> Mapping[str, Any] | None:
    """The OCI profile; None is unconfined.

    Nothing said is unconfined and so is a privileged container, as with other runtimes (the CRI validation suite). A
    kubelet always says something: ours, of a container that asks for nothing, RuntimeDefault.
    """
    wanted = context.seccomp
    if context.privileged or (wanted is None and not context.seccomp_profile_path):
        return None
    if wanted is None:
        kind, reference = _legacy(context.seccomp_profile_path)
    else:
        kind, reference = wanted.profile_type, wanted.localhost_ref
    if kind is ProfileType.Unconfined:
        return None
    if kind is ProfileType.Localhost:
        return _load(Path(reference.removeprefix("localhost/")))
    return seccomp.profile(capabilities)


def apparmor_profile(context: LinuxContainerSecurityContext, *, armor: apparmor.Kernel) -> str:
    """The loaded profile that a container gets, "" for none. Who says nothing gets the default one, if there is one;
    a privileged container gets none but a Localhost one. Raises Invalid where nobody could enforce what is asked for.
    """
    wanted = context.apparmor
    if wanted is None:
        kind, reference = _legacy(context.apparmor_profile)
    else:
        kind, reference = wanted.profile_type, wanted.localhost_ref
    if kind is ProfileType.Localhost:
        return _local(reference.removeprefix("localhost/"), armor)
    if kind is ProfileType.Unconfined or context.privileged:
        return ""
    is_asked_for = wanted is not None or bool(context.apparmor_profile)
    if is_asked_for and armor.is_enabled and not armor.default:
        raise Invalid(f"AppArmor is enabled on this machine, but the profile {apparmor.DEFAULT} could not be loaded")
    return armor.default  # without AppArmor RuntimeDefault is as good as Unconfined, as upstream says


async def ready_apparmor_profile(
    context: LinuxContainerSecurityContext,
    *,
    armor: apparmor.Kernel,
    load: Callable[[], apparmor.Kernel] = apparmor.prepared,
) -> str:
    """The same, the default one loaded again where somebody took it away since the node's start. Raises Invalid where
    that fails: a container does not lose its wall quietly."""
    name = apparmor_profile(context, armor=armor)
    if not name or name != armor.default or armor.knows(name):
        return name
    again = await asyncio.to_thread(load)
    if again.default != name:
        raise Invalid(f"the AppArmor profile {name} was unloaded on this machine, and could not be loaded again")
    return name


def _local(name: str, armor: apparmor.Kernel) -> str:
    if not armor.is_enabled:
        raise Invalid(f"AppArmor is not enabled on this machine, and the profile {name!r} is asked for")
    if not armor.knows(name):
        raise Invalid(f"apparmor profile not found {name}")
    return name


def devices(config: ContainerConfig) -> list[spec.DeviceNode]:
    """The devices asked for; all of the host's for a privileged container. Raises NotFound."""
    if config.CDI_devices:
        raise Invalid(f"CDI device {config.CDI_devices[0].name}: CDI is not supported by this runtime")
    found = list(_all("/dev")) if security(config).privileged else []
    for device in config.devices:
        try:
            status = os.stat(device.host_path)
        except OSError as error:
            raise NotFound(f"device {device.host_path}: {error.strerror}") from error
        node = _node(device.container_path or device.host_path, status, device.permissions or "rwm")
        if node is None:
            raise Invalid(f"device {device.host_path} is not a device node")
        found.append(node)
    return found


def _legacy(path: str) -> tuple[ProfileType, str]:
    if path == "unconfined":
        return ProfileType.Unconfined, ""
    if path.startswith("localhost/"):
        return ProfileType.Localhost, path
    return ProfileType.RuntimeDefault, ""


def _load(path: Path) -> dict[str, Any]:
    try:
        profile = msgspec.json.decode(path.read_bytes())
    except FileNotFoundError as error:
        raise NotFound(f"cannot load seccomp profile {str(path)!r}: open {path}: no such file or directory") from error
    except (OSError, *strict_json.UNREADABLE) as error:
        raise Invalid(f"cannot load seccomp profile {str(path)!r}: {error}") from error
    if not isinstance(profile, dict) or "defaultAction" not in profile:
        raise Invalid(f"cannot load seccomp profile {str(path)!r}: no defaultAction")
    return {key: profile[key] for key in _KEYS if profile.get(key) is not None}


def _all(directory: str) -> Iterator[spec.DeviceNode]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_symlink() or entry.name in ("pts", "shm", "mqueue", "console", "fd", "ptmx", "tty"):
                continue
            if entry.is_dir():
                yield from _all(entry.path)
            elif (node := _node(entry.path, entry.stat(), "rwm")) is not None:
                yield node


def _node(path: str, status: os.stat_result, access: str) -> spec.DeviceNode | None:
    if stat.S_ISCHR(status.st_mode):
        kind = "c"
    elif stat.S_ISBLK(status.st_mode):
        kind = "b"
    else:
        return None
    number = status.st_rdev
    return spec.DeviceNode(path, kind, os.major(number), os.minor(number), access, stat.S_IMODE(status.st_mode))
