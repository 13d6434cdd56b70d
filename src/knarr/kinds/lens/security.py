"""Lens: Security settings of pods and containers.

Typed, frozen views for readers. Field names and zero values follow the Go types: a field that Go holds
by pointer is None when absent, any other has its zero value. Only what some reader needs stands here; the
stored JSON keeps everything else. Facts: kinds/facts/types.json (a test compares).
"""

from msgspec import Struct


class Capabilities(Struct, frozen=True, kw_only=True, rename="camel"):
    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class SELinuxOptions(Struct, frozen=True, kw_only=True, rename="camel"):
    level: str = ""
    role: str = ""
    type: str = ""
    user: str = ""


class SeccompProfile(Struct, frozen=True, kw_only=True, rename="camel"):
    localhost_profile: str | None = None
    type: str = ""


class AppArmorProfile(Struct, frozen=True, kw_only=True, rename="camel"):
    localhost_profile: str | None = None
    type: str = ""


class Sysctl(Struct, frozen=True, kw_only=True, rename="camel"):
    name: str = ""
    value: str = ""


class SecurityContext(Struct, frozen=True, kw_only=True, rename="camel"):
    allow_privilege_escalation: bool | None = None
    app_armor_profile: AppArmorProfile | None = None
    capabilities: Capabilities | None = None
    privileged: bool | None = None
    proc_mount: str | None = None
    read_only_root_filesystem: bool | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    run_as_user: int | None = None
    se_linux_options: SELinuxOptions | None = None
    seccomp_profile: SeccompProfile | None = None


class PodSecurityContext(Struct, frozen=True, kw_only=True, rename="camel"):
    app_armor_profile: AppArmorProfile | None = None
    fs_group: int | None = None
    fs_group_change_policy: str | None = None
    run_as_group: int | None = None
    run_as_non_root: bool | None = None
    run_as_user: int | None = None
    se_linux_change_policy: str | None = None
    se_linux_options: SELinuxOptions | None = None
    seccomp_profile: SeccompProfile | None = None
    supplemental_groups: tuple[int, ...] = ()
    supplemental_groups_policy: str | None = None
    sysctls: tuple[Sysctl, ...] = ()
