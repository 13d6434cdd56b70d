"""CRI's container configuration and the image's → what the runtime shall make (runtime/spec.py renders it). Pure.

What has to be looked up comes in as values: the user's numbers, devices, the seccomp profile, resolved mount targets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from knarr.base.errors import Invalid
from knarr.cri.messages.config import (
    Capability,
    ContainerConfig,
    LinuxContainerSecurityContext,
    Mount,
    NamespaceOption,
)
from knarr.cri.messages.enums import MountPropagation
from knarr.criserver import resources, user_namespaces
from knarr.oci.image_config import ContainerConfig as ImageContainerConfig
from knarr.runtime import defaults, spec
from knarr.runtime.cgroups import Resources

PATH: Final = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROPAGATION: Final = {
    MountPropagation.PROPAGATION_PRIVATE: "rprivate",
    MountPropagation.PROPAGATION_HOST_TO_CONTAINER: "rslave",
    MountPropagation.PROPAGATION_BIDIRECTIONAL: "rshared",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was looked up for a container."""

    rootfs: Path
    cgroup_path: str
    hostname: str
    user: spec.User
    shared_namespaces: Mapping[str, str]
    """OCI namespace → path, of those of the sandbox; a new one is ""."""
    sandbox_files: Mapping[str, str]
    """Where in the container → where on the host: hosts, hostname, resolv.conf, shm."""
    devices: Sequence[spec.DeviceNode]
    seccomp_profile: Mapping[str, Any] | None
    apparmor_profile: str
    oom_score_adj: int | None


def security(config: ContainerConfig) -> LinuxContainerSecurityContext:
    context = config.linux.security_context if config.linux else None
    return context or LinuxContainerSecurityContext()


def namespace_options(config: ContainerConfig) -> NamespaceOption:
    return security(config).namespace_options or NamespaceOption()


def arguments(config: ContainerConfig, image: ImageContainerConfig) -> list[str]:
    """What to run: the container's command and args over the image's entrypoint and cmd. Raises Invalid for nothing."""
    command = list(config.command)
    args = list(config.args)
    if not command:
        command = list(image.entrypoint)
        args = args or list(image.cmd)
    if not command + args:
        raise Invalid("no command specified")
    return command + args


def environment(config: ContainerConfig, image: ImageContainerConfig, hostname: str) -> list[str]:
    """KEY=VALUE entries: later ones win over earlier ones of the same name. Raises Invalid for what is no text: the
    runtime reads it as JSON."""
    merged = dict(entry.partition("=")[::2] for entry in (PATH, f"HOSTNAME={hostname}", *image.env))
    if config.tty:
        merged.setdefault("TERM", "xterm")
    for pair in config.envs:
        try:
            merged[pair.key] = pair.value.decode()
        except UnicodeDecodeError as error:
            raise Invalid(f"environment variable {pair.key}: not UTF-8 text") from error
    return [f"{key}={value}" for key, value in merged.items()]


def working_directory(config: ContainerConfig, image: ImageContainerConfig) -> str:
    """Raises Invalid for a directory that is no plain place in the root file system."""
    directory = config.working_dir or image.working_dir or "/"
    if not directory.startswith("/"):
        directory = "/" + directory
    if directory.startswith("/proc/") or "\0" in directory:
        # /proc/self/fd/N would be a descriptor of the runtime's (CVE-2024-21626).
        raise Invalid(f"working directory {directory!r} is not allowed")
    return directory


def volume(mount: Mount) -> spec.VolumeMount:
    """One mount of the configuration. Raises Invalid for one that shall be recursively read-only and something else."""
    if mount.recursive_read_only and not mount.readonly:
        raise Invalid(f"mount {mount.container_path}: recursively read-only, and not read-only")
    if mount.recursive_read_only and mount.propagation is not MountPropagation.PROPAGATION_PRIVATE:
        raise Invalid(f"mount {mount.container_path}: recursively read-only with {mount.propagation.name}")
    options = ["rbind", _PROPAGATION[mount.propagation], *mount.mount_options]
    if mount.recursive_read_only:
        options.append("rro")
    elif mount.readonly:
        options.append("ro")
    return spec.VolumeMount(mount.container_path, mount.host_path, tuple(options))


def namespaces(config: ContainerConfig, shared: Mapping[str, str], pid: str | None) -> dict[str, str]:
    """OCI namespaces to paths. `pid` is the path of the one to join, "" for a new one, None for the host's."""
    joined = {"mount": "", **shared}
    if pid is not None:
        joined["pid"] = pid
    if not security(config).privileged:
        joined["cgroup"] = ""
    return joined


def render(config: ContainerConfig, image: ImageContainerConfig, found: Found) -> spec.ContainerSettings:
    """Everything that the runtime needs."""
    context = security(config)
    capabilities = context.capabilities or Capability()
    limits = config.linux.resources if config.linux else None
    # CRI cannot tell "none" (procMount Unmasked) from "not said". Only where root is not the host's is it none.
    is_unmasked = user_namespaces.wanted(namespace_options(config)) is not None
    return spec.ContainerSettings(
        rootfs=found.rootfs,
        arguments=arguments(config, image),
        env=environment(config, image, found.hostname),
        cwd=working_directory(config, image),
        user=found.user,
        has_terminal=config.tty,
        cgroup_path=found.cgroup_path,
        namespaces=found.shared_namespaces,
        mounts=_mounts(config, context, found),
        resources=resources.limits(limits) if limits else Resources(),
        oom_score_adj=found.oom_score_adj,
        capabilities_added=capabilities.add_capabilities,
        capabilities_dropped=capabilities.drop_capabilities,
        is_privileged=context.privileged,
        no_new_privileges=context.no_new_privs,
        readonly_rootfs=context.readonly_rootfs,
        masked_paths=context.masked_paths or (() if is_unmasked else defaults.MASKED_PATHS),
        readonly_paths=context.readonly_paths or (() if is_unmasked else defaults.READONLY_PATHS),
        seccomp_profile=found.seccomp_profile,
        apparmor_profile=found.apparmor_profile,
        devices=found.devices,
    )


def _mounts(config: ContainerConfig, context: LinuxContainerSecurityContext, found: Found) -> list[spec.VolumeMount]:
    wanted = {mount.container_path for mount in config.mounts}
    ours = [
        spec.VolumeMount(target, source, _file_options(target, is_readonly=context.readonly_rootfs))
        for target, source in found.sandbox_files.items()
        if target not in wanted
    ]
    return ours + [volume(mount) for mount in config.mounts]


def _file_options(target: str, *, is_readonly: bool) -> tuple[str, ...]:
    if target == defaults.SHM:
        return ("rbind", "rprivate")
    return ("rbind", "rprivate", "ro") if is_readonly else ("rbind", "rprivate")
