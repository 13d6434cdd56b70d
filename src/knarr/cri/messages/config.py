"""CRI v1 messages: the wanted sandbox and container (configuration sent by the kubelet).

Plain frozen values with the specification's field names and proto3 zero values; a message field that is
not set is None. Windows messages are left out. Facts: cri/facts/cri.json (a test compares).
"""

from msgspec import Struct, field

from knarr.cri.messages.enums import (
    MountPropagation,
    NamespaceMode,
    ProfileType,
    Protocol,
    Signal,
    SupplementalGroupsPolicy,
)


class CDIDevice(Struct, frozen=True, kw_only=True):
    name: str = ""


class Capability(Struct, frozen=True, kw_only=True):
    add_capabilities: tuple[str, ...] = ()
    drop_capabilities: tuple[str, ...] = ()
    add_ambient_capabilities: tuple[str, ...] = ()


class Device(Struct, frozen=True, kw_only=True):
    container_path: str = ""
    host_path: str = ""
    permissions: str = ""


class KeyValue(Struct, frozen=True, kw_only=True):
    key: str = ""
    value: bytes = b""


class ImageSpec(Struct, frozen=True, kw_only=True):
    image: str = ""
    annotations: dict[str, str] = field(default_factory=dict)
    user_specified_image: str = ""
    runtime_handler: str = ""
    image_ref: str = ""


class HugepageLimit(Struct, frozen=True, kw_only=True):
    page_size: str = ""
    limit: int = 0


class LinuxContainerResources(Struct, frozen=True, kw_only=True):
    cpu_period: int = 0
    cpu_quota: int = 0
    cpu_shares: int = 0
    memory_limit_in_bytes: int = 0
    oom_score_adj: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    hugepage_limits: tuple[HugepageLimit, ...] = ()
    unified: dict[str, str] = field(default_factory=dict)
    memory_swap_limit_in_bytes: int = 0


class SecurityProfile(Struct, frozen=True, kw_only=True):
    profile_type: ProfileType = ProfileType(0)
    localhost_ref: str = ""


class IDMapping(Struct, frozen=True, kw_only=True):
    host_id: int = 0
    container_id: int = 0
    length: int = 0


class UserNamespace(Struct, frozen=True, kw_only=True):
    mode: NamespaceMode = NamespaceMode(0)
    uids: tuple[IDMapping, ...] = ()
    gids: tuple[IDMapping, ...] = ()


class NamespaceOption(Struct, frozen=True, kw_only=True):
    network: NamespaceMode = NamespaceMode(0)
    pid: NamespaceMode = NamespaceMode(0)
    ipc: NamespaceMode = NamespaceMode(0)
    target_id: str = ""
    userns_options: UserNamespace | None = None


class Int64Value(Struct, frozen=True, kw_only=True):
    value: int = 0


class SELinuxOption(Struct, frozen=True, kw_only=True):
    user: str = ""
    role: str = ""
    type: str = ""
    level: str = ""


class LinuxContainerSecurityContext(Struct, frozen=True, kw_only=True):
    capabilities: Capability | None = None
    privileged: bool = False
    namespace_options: NamespaceOption | None = None
    selinux_options: SELinuxOption | None = None
    run_as_user: Int64Value | None = None
    run_as_username: str = ""
    readonly_rootfs: bool = False
    supplemental_groups: tuple[int, ...] = ()
    apparmor_profile: str = ""
    seccomp_profile_path: str = ""
    no_new_privs: bool = False
    run_as_group: Int64Value | None = None
    masked_paths: tuple[str, ...] = ()
    readonly_paths: tuple[str, ...] = ()
    seccomp: SecurityProfile | None = None
    apparmor: SecurityProfile | None = None
    supplemental_groups_policy: SupplementalGroupsPolicy = SupplementalGroupsPolicy(0)


class LinuxContainerConfig(Struct, frozen=True, kw_only=True):
    resources: LinuxContainerResources | None = None
    security_context: LinuxContainerSecurityContext | None = None


class ContainerMetadata(Struct, frozen=True, kw_only=True):
    name: str = ""
    attempt: int = 0


class Mount(Struct, frozen=True, kw_only=True):
    container_path: str = ""
    host_path: str = ""
    readonly: bool = False
    selinux_relabel: bool = False
    propagation: MountPropagation = MountPropagation(0)
    uidMappings: tuple[IDMapping, ...] = ()
    gidMappings: tuple[IDMapping, ...] = ()
    recursive_read_only: bool = False
    image: ImageSpec | None = None
    image_sub_path: str = ""
    mount_options: tuple[str, ...] = ()


class ContainerConfig(Struct, frozen=True, kw_only=True):
    metadata: ContainerMetadata | None = None
    image: ImageSpec | None = None
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    envs: tuple[KeyValue, ...] = ()
    mounts: tuple[Mount, ...] = ()
    devices: tuple[Device, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    log_path: str = ""
    stdin: bool = False
    stdin_once: bool = False
    tty: bool = False
    linux: LinuxContainerConfig | None = None
    CDI_devices: tuple[CDIDevice, ...] = ()
    stop_signal: Signal = Signal(0)


class DNSConfig(Struct, frozen=True, kw_only=True):
    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


class LinuxSandboxSecurityContext(Struct, frozen=True, kw_only=True):
    namespace_options: NamespaceOption | None = None
    selinux_options: SELinuxOption | None = None
    run_as_user: Int64Value | None = None
    readonly_rootfs: bool = False
    supplemental_groups: tuple[int, ...] = ()
    privileged: bool = False
    seccomp_profile_path: str = ""
    run_as_group: Int64Value | None = None
    seccomp: SecurityProfile | None = None
    apparmor: SecurityProfile | None = None
    supplemental_groups_policy: SupplementalGroupsPolicy = SupplementalGroupsPolicy(0)


class LinuxPodSandboxConfig(Struct, frozen=True, kw_only=True):
    cgroup_parent: str = ""
    security_context: LinuxSandboxSecurityContext | None = None
    sysctls: dict[str, str] = field(default_factory=dict)
    overhead: LinuxContainerResources | None = None
    resources: LinuxContainerResources | None = None


class PodSandboxMetadata(Struct, frozen=True, kw_only=True):
    name: str = ""
    uid: str = ""
    namespace: str = ""
    attempt: int = 0


class PortMapping(Struct, frozen=True, kw_only=True):
    protocol: Protocol = Protocol(0)
    container_port: int = 0
    host_port: int = 0
    host_ip: str = ""


class PodSandboxConfig(Struct, frozen=True, kw_only=True):
    metadata: PodSandboxMetadata | None = None
    hostname: str = ""
    log_directory: str = ""
    dns_config: DNSConfig | None = None
    port_mappings: tuple[PortMapping, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    linux: LinuxPodSandboxConfig | None = None
