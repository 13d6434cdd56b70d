"""Settings of a container → the OCI runtime's config.json. Pure.

Secure unless asked otherwise: eleven capabilities, masked and read-only paths, a system-call filter, a private /dev,
no devices but the usual ones. Says nothing of images or CRI: criserver/containers/settings.py and the builder fill
`ContainerSettings` (OCI runtime specification, config.md and config-linux.md).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from knarr.base.id_mappings import IdMapping, IdMappings
from knarr.runtime import defaults, seccomp
from knarr.runtime.cgroups import Resources


@dataclass(frozen=True, slots=True)
class User:
    """Whom the process runs as, numbers only (users.py looks names up)."""

    uid: int = 0
    gid: int = 0
    additional_gids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class VolumeMount:
    """A mount beside the standard ones; `type` is "bind" for host paths."""

    target: str
    source: str
    options: tuple[str, ...] = ("rbind", "rprivate")
    type: str = "bind"


@dataclass(frozen=True, slots=True)
class DeviceNode:
    """A device of the host given to the container; `access` is of the letters r, w, m."""

    path: str
    kind: str
    major: int
    minor: int
    access: str = "rwm"
    file_mode: int = 0o660


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSettings:
    """What a container shall be. `namespaces` maps an OCI namespace to the path of one to join, "" for a new one;
    a type that is not in it is the host's. `id_mappings` are those of the user namespace. `seccomp_profile` None is
    unconfined. `rlimits` are soft and hard limits by ulimit's name ("nofile")."""

    rootfs: Path
    arguments: Sequence[str]
    cgroup_path: str
    env: Sequence[str] = ()
    cwd: str = "/"
    user: User = field(default_factory=User)
    has_terminal: bool = False
    hostname: str = ""
    namespaces: Mapping[str, str] = field(default_factory=lambda: dict(defaults.NEW_NAMESPACES))
    id_mappings: IdMappings | None = None
    mounts: Sequence[VolumeMount] = ()
    resources: Resources = field(default_factory=Resources)
    oom_score_adj: int | None = None
    capabilities_added: Sequence[str] = ()
    capabilities_dropped: Sequence[str] = ()
    is_privileged: bool = False
    no_new_privileges: bool = False
    readonly_rootfs: bool = False
    masked_paths: Sequence[str] = defaults.MASKED_PATHS
    readonly_paths: Sequence[str] = defaults.READONLY_PATHS
    seccomp_profile: Mapping[str, Any] | None = field(default_factory=lambda: seccomp.RUNTIME_DEFAULT)
    apparmor_profile: str = ""
    devices: Sequence[DeviceNode] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    rlimits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)


def render(settings: ContainerSettings) -> dict[str, Any]:
    """The content of config.json."""
    config: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": _process(settings),
        "root": {"path": str(settings.rootfs), "readonly": settings.readonly_rootfs},
        "mounts": _mounts(settings),
        "linux": _linux(settings),
    }
    if settings.hostname and settings.namespaces.get("uts") == "":
        config["hostname"] = settings.hostname
    if settings.annotations:
        config["annotations"] = dict(settings.annotations)
    return config


def capabilities(settings: ContainerSettings) -> list[str]:
    """The names, CAP_ and upper case: the default, with `added` and less `dropped`; ALL is every one that there is."""
    added = {_capability(name) for name in settings.capabilities_added}
    dropped = {_capability(name) for name in settings.capabilities_dropped}
    wanted = set(defaults.ALL_CAPABILITIES if settings.is_privileged else defaults.CAPABILITIES)
    if "CAP_ALL" in added:
        wanted = set(defaults.ALL_CAPABILITIES)
    if "CAP_ALL" in dropped:
        wanted = set()
    wanted |= added - {"CAP_ALL"}
    # What is both added and dropped by name is dropped; ALL in one list yields to names in the other.
    wanted -= dropped - {"CAP_ALL"}
    return [name for name in defaults.ALL_CAPABILITIES if name in wanted]


def _capability(name: str) -> str:
    upper = name.upper()
    return upper if upper.startswith("CAP_") else f"CAP_{upper}"


def _process(settings: ContainerSettings) -> dict[str, Any]:
    names = capabilities(settings)
    process: dict[str, Any] = {
        "terminal": settings.has_terminal,
        "args": list(settings.arguments),
        "env": list(settings.env),
        "cwd": settings.cwd or "/",
        "user": {
            "uid": settings.user.uid,
            "gid": settings.user.gid,
            "additionalGids": list(settings.user.additional_gids),
        },
        "capabilities": {"bounding": names, "effective": names, "permitted": names},
        "noNewPrivileges": settings.no_new_privileges,
    }
    if settings.apparmor_profile:
        process["apparmorProfile"] = settings.apparmor_profile
    if settings.rlimits:
        process["rlimits"] = [
            {"type": f"RLIMIT_{name.upper()}", "soft": soft, "hard": hard}
            for name, (soft, hard) in settings.rlimits.items()
        ]
    if settings.oom_score_adj is not None:
        process["oomScoreAdj"] = settings.oom_score_adj
    return process


def _mounts(settings: ContainerSettings) -> list[dict[str, Any]]:
    standard: dict[str, dict[str, Any]] = {
        target: {"destination": target, "type": kind, "source": source, "options": list(options)}
        for target, kind, source, options in defaults.MOUNTS
    }
    if settings.is_privileged:
        for target in ("/sys", "/sys/fs/cgroup"):
            standard[target]["options"] = [word for word in standard[target]["options"] if word != "ro"]
    if "network" not in settings.namespaces:
        # A sysfs shows the network namespace of whoever mounted it; the host's own is already right.
        standard["/sys"] = _bind("/sys", "/sys", ("rbind", "nosuid", "noexec", "nodev", "rslave"))
        if not settings.is_privileged:
            standard["/sys"]["options"].append("ro")
        standard.pop("/sys/fs/cgroup")
    volumes: dict[str, dict[str, Any]] = {
        volume.target: {
            "destination": volume.target,
            "type": volume.type,
            "source": volume.source,
            "options": list(volume.options),
        }
        for volume in settings.mounts
    }
    kept = [mount for target, mount in standard.items() if target not in volumes]
    # A mount must come after what it lies in.
    return kept + sorted(volumes.values(), key=lambda mount: _depth(mount["destination"]))


def _depth(path: str) -> int:
    return path.rstrip("/").count("/")


def _bind(target: str, source: str, options: tuple[str, ...]) -> dict[str, Any]:
    return {"destination": target, "type": "bind", "source": source, "options": list(options)}


def _linux(settings: ContainerSettings) -> dict[str, Any]:
    linux: dict[str, Any] = {
        "cgroupsPath": settings.cgroup_path,
        "namespaces": [
            {"type": kind, "path": path} if path else {"type": kind} for kind, path in settings.namespaces.items()
        ],
        "resources": _resources(settings),
        "devices": [_device(device) for device in settings.devices],
    }
    if propagation := _propagation(settings.mounts):
        linux["rootfsPropagation"] = propagation
    if settings.id_mappings is not None:
        linux["uidMappings"] = _mappings(settings.id_mappings.uids)
        linux["gidMappings"] = _mappings(settings.id_mappings.gids)
    if settings.sysctls:
        linux["sysctl"] = dict(settings.sysctls)
    if not settings.is_privileged:
        linux["maskedPaths"] = list(settings.masked_paths)
        linux["readonlyPaths"] = list(settings.readonly_paths)
        if settings.seccomp_profile is not None:
            linux["seccomp"] = dict(settings.seccomp_profile)
    return linux


def _mappings(mappings: Sequence[IdMapping]) -> list[dict[str, int]]:
    return [{"containerID": each.container_id, "hostID": each.host_id, "size": each.length} for each in mappings]


def _propagation(mounts: Sequence[VolumeMount]) -> str:
    """How the root must be joined to the host's mounts so that those of the volumes can be; "" for not at all."""
    wanted = {option for mount in mounts for option in mount.options}
    return next((kind for kind in ("rshared", "rslave") if kind in wanted), "")


def _resources(settings: ContainerSettings) -> dict[str, Any]:
    limits = settings.resources
    cpu: dict[str, Any] = {}
    if limits.cpu_shares:
        cpu["shares"] = limits.cpu_shares
    if limits.cpu_quota:
        cpu.update(quota=limits.cpu_quota, period=limits.cpu_period or 100000)
    if limits.cpuset_cpus:
        cpu["cpus"] = limits.cpuset_cpus
    if limits.cpuset_mems:
        cpu["mems"] = limits.cpuset_mems
    memory: dict[str, Any] = {}
    if limits.memory_limit:
        memory["limit"] = limits.memory_limit
    if limits.memory_swap_limit:
        memory["swap"] = limits.memory_swap_limit
    resources: dict[str, Any] = {"devices": _device_rules(settings)}
    if cpu:
        resources["cpu"] = cpu
    if memory:
        resources["memory"] = memory
    if limits.pids_limit:
        resources["pids"] = {"limit": limits.pids_limit}
    if limits.unified:
        resources["unified"] = dict(limits.unified)
    return resources


def _device_rules(settings: ContainerSettings) -> list[dict[str, Any]]:
    if settings.is_privileged:
        return [{"allow": True, "access": "rwm"}]
    rules: list[dict[str, Any]] = [{"allow": False, "access": "rwm"}]
    rules += [
        {"allow": True, "type": kind, "access": access, **numbers} for kind, numbers, access in defaults.DEVICE_RULES
    ]
    rules += [
        {"allow": True, "type": device.kind, "major": device.major, "minor": device.minor, "access": device.access}
        for device in settings.devices
    ]
    return rules


def _device(device: DeviceNode) -> dict[str, Any]:
    return {
        "path": device.path,
        "type": device.kind,
        "major": device.major,
        "minor": device.minor,
        "fileMode": device.file_mode,
        "uid": 0,
        "gid": 0,
    }
