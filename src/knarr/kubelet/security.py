"""Security contexts of pod and container as the runtime wants them, and the check behind runAsNonRoot.

Pure. A container's setting wins over its pod's. Without a seccomp profile the runtime's default is asked for (upstream
would run unconfined). What "RuntimeDefault" and the default capabilities are, the runtime says (runtime/spec.py).
"""

from pathlib import Path

from knarr.base.errors import Invalid
from knarr.cri.messages.config import (
    Capability,
    Int64Value,
    LinuxContainerSecurityContext,
    LinuxSandboxSecurityContext,
    NamespaceOption,
    SecurityProfile,
    SELinuxOption,
)
from knarr.cri.messages.enums import NamespaceMode, ProfileType, SupplementalGroupsPolicy
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.security import (
    AppArmorProfile,
    PodSecurityContext,
    SeccompProfile,
    SecurityContext,
    SELinuxOptions,
)
from knarr.kubelet.container_status import pod_ref
from knarr.kubelet.members import AnyContainer

MASKED_PATHS = (
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
)
READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


def container_security(
    pod: Pod,
    container: AnyContainer,
    *,
    seccomp_root: Path = Path("/"),
    target_id: str = "",
    uid: int | None = None,
    username: str = "",
) -> LinuxContainerSecurityContext:
    """`uid` and `username` are the image's user, for a spec that names none; `target_id` is for debug containers;
    `seccomp_root` is where profiles of type Localhost lie."""
    own, pods = container.security_context or SecurityContext(), pod.spec.security_context or PodSecurityContext()
    user = run_as_user(pod, container)
    group = own.run_as_group if own.run_as_group is not None else pods.run_as_group
    user = uid if user is None and not username else user
    groups = (*pods.supplemental_groups, *(() if pods.fs_group is None else (pods.fs_group,)))
    is_privileged = bool(own.privileged)
    is_masked = not is_privileged and own.proc_mount != "Unmasked"
    capabilities = own.capabilities
    return LinuxContainerSecurityContext(
        capabilities=Capability(add_capabilities=capabilities.add, drop_capabilities=capabilities.drop)
        if capabilities
        else None,
        privileged=is_privileged,
        namespace_options=namespaces(pod, target_id),
        selinux_options=_selinux(own.se_linux_options or pods.se_linux_options),
        run_as_user=None if user is None else Int64Value(value=user),
        run_as_username=username if user is None else "",
        run_as_group=None if group is None or (user is None and not username) else Int64Value(value=group),
        readonly_rootfs=bool(own.read_only_root_filesystem),
        supplemental_groups=groups,
        no_new_privs=own.allow_privilege_escalation is False,
        masked_paths=MASKED_PATHS if is_masked else (),
        readonly_paths=READONLY_PATHS if is_masked else (),
        seccomp=_seccomp(own.seccomp_profile or pods.seccomp_profile, seccomp_root, is_privileged=is_privileged),
        apparmor=_apparmor(own.app_armor_profile or pods.app_armor_profile),
        supplemental_groups_policy=SupplementalGroupsPolicy[pods.supplemental_groups_policy or "Merge"],
    )


def run_as_user(pod: Pod, container: AnyContainer) -> int | None:
    """The uid that the spec gives a container; None leaves it to the image."""
    own, pods = container.security_context, pod.spec.security_context
    if own is not None and own.run_as_user is not None:
        return own.run_as_user
    return pods.run_as_user if pods is not None else None


def sandbox_security(pod: Pod) -> LinuxSandboxSecurityContext:
    context = pod.spec.security_context or PodSecurityContext()
    privileged = any(
        c.security_context and c.security_context.privileged for c in (*pod.spec.init_containers, *pod.spec.containers)
    )
    groups = (*context.supplemental_groups, *(() if context.fs_group is None else (context.fs_group,)))
    return LinuxSandboxSecurityContext(
        namespace_options=namespaces(pod),
        selinux_options=_selinux(context.se_linux_options),
        run_as_user=None if context.run_as_user is None else Int64Value(value=context.run_as_user),
        run_as_group=None if context.run_as_group is None else Int64Value(value=context.run_as_group),
        supplemental_groups=groups,
        privileged=privileged,
        seccomp=SecurityProfile(profile_type=ProfileType.RuntimeDefault),
    )


def namespaces(pod: Pod, target_id: str = "") -> NamespaceOption:
    """Which namespaces are shared: with the host, in the pod, or with the container a debugger looks at."""
    spec = pod.spec
    pid = NamespaceMode.POD if spec.share_process_namespace else NamespaceMode.CONTAINER
    if spec.host_pid:
        pid = NamespaceMode.NODE
    elif target_id:
        pid = NamespaceMode.TARGET
    return NamespaceOption(
        network=NamespaceMode.NODE if spec.host_network else NamespaceMode.POD,
        ipc=NamespaceMode.NODE if spec.host_ipc else NamespaceMode.POD,
        pid=pid,
        target_id=target_id if pid is NamespaceMode.TARGET else "",
    )


def verify_non_root(pod: Pod, container: AnyContainer, *, uid: int | None, username: str) -> None:
    """Raise Invalid, in upstream's words, if runAsNonRoot is asked for and the container would run as root."""
    own, pods = container.security_context or SecurityContext(), pod.spec.security_context or PodSecurityContext()
    asked = own.run_as_non_root if own.run_as_non_root is not None else pods.run_as_non_root
    if not asked:
        return
    user = run_as_user(pod, container)
    where = f'(pod: "{pod_ref(pod)}", container: {container.name})'
    if user is not None:
        if user == 0:
            raise Invalid(f"container's runAsUser breaks non-root policy {where}")
        return
    if uid is not None and uid != 0:
        return
    if uid is None and username:
        cause = f"image has non-numeric user ({username}), cannot verify user is non-root"
        raise Invalid(f"container has runAsNonRoot and {cause} {where}")
    raise Invalid(f"container has runAsNonRoot and image will run as root {where}")


def _seccomp(profile: SeccompProfile | None, root: Path, *, is_privileged: bool) -> SecurityProfile:
    """The runtime reads a profile of this machine, so it is told the whole path."""
    if profile is None:
        return SecurityProfile(profile_type=ProfileType.Unconfined if is_privileged else ProfileType.RuntimeDefault)
    path = str(root / profile.localhost_profile) if profile.localhost_profile else ""
    return SecurityProfile(profile_type=ProfileType[profile.type], localhost_ref=path)


def _apparmor(profile: AppArmorProfile | None) -> SecurityProfile | None:
    if profile is None:
        return None
    return SecurityProfile(profile_type=ProfileType[profile.type], localhost_ref=profile.localhost_profile or "")


def _selinux(options: SELinuxOptions | None) -> SELinuxOption | None:
    if options is None:
        return None
    return SELinuxOption(user=options.user, role=options.role, type=options.type, level=options.level)
