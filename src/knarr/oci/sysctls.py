"""Which namespace holds a sysctl: what none holds is the whole machine's, and no container's to set. Pure.

Spec: sysctl(7) by way of the namespaces' manual pages; OCI runtime specification, config-linux.md, Sysctl.
"""

from typing import Final, Literal

Namespace = Literal["net", "ipc", "uts", ""]
# What a sysctl's name begins with → the namespace that it belongs to.
_PREFIXES: Final[tuple[tuple[str, Namespace], ...]] = (
    ("net.", "net"),
    ("kernel.shm", "ipc"),
    ("kernel.msg", "ipc"),
    ("kernel.sem", "ipc"),
    ("fs.mqueue.", "ipc"),
    ("kernel.domainname", "uts"),
)


def namespace_of(name: str) -> Namespace:
    """`net`, `ipc` or `uts`; "" for what no namespace holds, and for a path that leads elsewhere."""
    dotted = name.replace("/", ".")
    if ".." in dotted:
        return ""
    return next((namespace for prefix, namespace in _PREFIXES if dotted.startswith(prefix)), "")
