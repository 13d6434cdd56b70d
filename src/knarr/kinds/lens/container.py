"""Lens: A container of a pod as its spec describes it.

Typed, frozen views for readers. Field names and zero values follow the Go types: a field that Go holds
by pointer is None when absent, any other has its zero value. Only what some reader needs stands here; the
stored JSON keeps everything else. Facts: kinds/facts/types.json (a test compares).
"""

from msgspec import Struct, field

from knarr.kinds.lens.probes import Lifecycle, Probe
from knarr.kinds.lens.references import (
    ConfigMapKeySelector,
    FileKeySelector,
    ObjectFieldSelector,
    ResourceFieldSelector,
    SecretKeySelector,
)
from knarr.kinds.lens.security import SecurityContext
from knarr.kinds.lens.volumes import VolumeMount


class ConfigMapEnvSource(Struct, frozen=True, kw_only=True, rename="camel"):
    name: str = ""
    optional: bool | None = None


class SecretEnvSource(Struct, frozen=True, kw_only=True, rename="camel"):
    name: str = ""
    optional: bool | None = None


class EnvFromSource(Struct, frozen=True, kw_only=True, rename="camel"):
    config_map_ref: ConfigMapEnvSource | None = None
    prefix: str = ""
    secret_ref: SecretEnvSource | None = None


class EnvVarSource(Struct, frozen=True, kw_only=True, rename="camel"):
    config_map_key_ref: ConfigMapKeySelector | None = None
    field_ref: ObjectFieldSelector | None = None
    file_key_ref: FileKeySelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    secret_key_ref: SecretKeySelector | None = None


class EnvVar(Struct, frozen=True, kw_only=True, rename="camel"):
    name: str = ""
    value: str = ""
    value_from: EnvVarSource | None = None


class ContainerPort(Struct, frozen=True, kw_only=True, rename="camel"):
    container_port: int = 0
    host_ip: str = field(default="", name="hostIP")
    host_port: int = 0
    name: str = ""
    protocol: str = ""


class ContainerResizePolicy(Struct, frozen=True, kw_only=True, rename="camel"):
    resource_name: str = ""
    restart_policy: str = ""


class ContainerRestartRuleOnExitCodes(Struct, frozen=True, kw_only=True, rename="camel"):
    operator: str = ""
    values: tuple[int, ...] = ()


class ContainerRestartRule(Struct, frozen=True, kw_only=True, rename="camel"):
    action: str = ""
    exit_codes: ContainerRestartRuleOnExitCodes | None = None


class ResourceRequirements(Struct, frozen=True, kw_only=True, rename="camel"):
    limits: dict[str, str] = field(default_factory=dict)
    requests: dict[str, str] = field(default_factory=dict)


class Container(Struct, frozen=True, kw_only=True, rename="camel"):
    args: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFromSource, ...] = ()
    image: str = ""
    image_pull_policy: str = ""
    lifecycle: Lifecycle | None = None
    liveness_probe: Probe | None = None
    name: str = ""
    ports: tuple[ContainerPort, ...] = ()
    readiness_probe: Probe | None = None
    resize_policy: tuple[ContainerResizePolicy, ...] = ()
    resources: ResourceRequirements = ResourceRequirements()
    restart_policy: str | None = None
    restart_policy_rules: tuple[ContainerRestartRule, ...] = ()
    security_context: SecurityContext | None = None
    startup_probe: Probe | None = None
    stdin: bool = False
    stdin_once: bool = False
    termination_message_path: str = ""
    termination_message_policy: str = ""
    tty: bool = False
    volume_mounts: tuple[VolumeMount, ...] = ()
    working_dir: str = ""


class EphemeralContainer(Struct, frozen=True, kw_only=True, rename="camel"):
    args: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    env_from: tuple[EnvFromSource, ...] = ()
    image: str = ""
    image_pull_policy: str = ""
    lifecycle: Lifecycle | None = None
    liveness_probe: Probe | None = None
    name: str = ""
    ports: tuple[ContainerPort, ...] = ()
    readiness_probe: Probe | None = None
    resize_policy: tuple[ContainerResizePolicy, ...] = ()
    resources: ResourceRequirements = ResourceRequirements()
    restart_policy: str | None = None
    restart_policy_rules: tuple[ContainerRestartRule, ...] = ()
    security_context: SecurityContext | None = None
    startup_probe: Probe | None = None
    stdin: bool = False
    stdin_once: bool = False
    target_container_name: str = ""
    termination_message_path: str = ""
    termination_message_policy: str = ""
    tty: bool = False
    volume_mounts: tuple[VolumeMount, ...] = ()
    working_dir: str = ""
