"""Which sysctls a pod may set: the safe ones, and those that the node's owner allows besides. Pure.

Safe means that a pod's setting stays in its own namespaces and harms no neighbour. Spec: docs "Using sysctls in a
Kubernetes Cluster".
"""

from typing import Final

from knarr.kinds.lens.pod import Pod
from knarr.oci.sysctls import namespace_of

SAFE: Final = frozenset(
    (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    )
)


def refusal(pod: Pod, unsafe: tuple[str, ...]) -> str:
    """Why the pod may not set a sysctl that it names; "" if it may set all of them."""
    context = pod.spec.security_context
    for sysctl in context.sysctls if context is not None else ():
        name = sysctl.name.replace("/", ".")
        if name not in SAFE and not any(_matches(name, pattern) for pattern in unsafe):
            return f'"{name}" not allowlisted'
        namespace = namespace_of(name)
        if namespace == "net" and pod.spec.host_network:
            return f'"{name}" not allowed with host net enabled'
        if namespace == "ipc" and pod.spec.host_ipc:
            return f'"{name}" not allowed with host ipc enabled'
    return ""


def _matches(name: str, pattern: str) -> bool:
    """An allowed pattern counts only where a namespace holds the sysctl: no pod changes the whole machine."""
    is_named = name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
    return is_named and namespace_of(name) in ("net", "ipc")
