"""PodSecurity: the levels of the Pod Security Standards, by the labels of a namespace.

`enforce` refuses pods, `warn` answers with warnings for pods and the templates of workloads, `audit` annotates the
event of the audit log. Without a label the
server's default level holds. Versions of the standards are not told apart: the latest holds. Pure but for the look-up.
Spec: "Pod Security Standards"; texts as upstream's.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from knarr.apiserver import status
from knarr.apiserver.audit import annotations
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json

LABEL: Final = "pod-security.kubernetes.io/"
LEVELS: Final = ("privileged", "baseline", "restricted")
EXEMPT: Final = frozenset({"kube-system"})
Finding = tuple[str, str]
"""What is wrong, and where."""
Check = Callable[[Json, Sequence[Json]], Iterator[Finding]]
CAPABILITIES: Final = frozenset(
    [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ]
)
SYSCTLS: Final = frozenset(
    [
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    ]
)
VOLUMES: Final = frozenset(
    [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ]
)
SELINUX_TYPES: Final = frozenset({"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"})


def _named(word: str, names: Sequence[str]) -> str:
    return f"{word}{'s' if len(names) > 1 else ''} " + ", ".join(f'"{name}"' for name in names)


def _security(part: Json) -> Json:
    return part.get("securityContext") or {}


def _where(containers: Sequence[Json], holds: Callable[[Json], Any]) -> list[str]:
    return [container.get("name", "") for container in containers if holds(_security(container))]


def host_namespaces(spec: Json, containers: Sequence[Json]) -> Iterator[Finding]:
    found = [field for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    if found:
        yield "host namespaces", ", ".join(f"{field}=true" for field in found)


def privileged(spec: Json, containers: Sequence[Json]) -> Iterator[Finding]:
    found = _where(containers, lambda security: security.get("privileged"))
    if found:
        yield "privileged", f"{_named('container', found)} must not set securityContext.privileged=true"


def capabilities(spec: Json, containers: Sequence[Json]) -> Iterator[Finding]:
    added: dict[str, None] = {}
    found = []
    for container in containers:
        extra = [each for each in _added(container) if each not in CAPABILITIES]
        if extra:
            found.append(container.get("name", ""))
            added |= dict.fromkeys(extra)
    if found:
        names = ", ".join(f'"{each}"' for each in sorted(added))
        yield (
            "non-default capabilities",
            f"{_named('container', found)} must not include {names} in securityContext.capabilities.add",
        )


def _added(container: Json) -> list[str]:
    return (_security(container).get("capabilities") or {}).get("add") or []


def host_path(spec: Json, containers: Sequence[Json]) -> Iterator[Finding]:
    found = [volume.get("name", "") for volume in spec.get("volumes") or () if volume.get("hostPath")]
    if found:
        yield "hostPath volumes", _named("volume", found)


def host_ports(spec: Json, containers: Sequence[Json]) -> Iterator[Finding]:
    found, ports = [], set()
    for container in containers:
        used = {port["hostPort"] for port in container.get("ports") or () if port.get("hostPort")}
        if used:
            found.append(container.get("name", ""))
            ports |= used
    if found:
        verb = "uses" if len(found) == 1 else "use"
        word = "hostPort" if len(ports) == 1 else "hostPorts"
        yield "hostPort", f"{_named('container', found)} {verb} {word} {', '.join(map(str, sorted(ports)))}"


def proc_mount(spec: Json, containers: Sequence[Json]) -> Iterator[Finding]:
    found = _where(containers, lambda security: security.get("procMount") not in (None, "", "Default"))
    if found:
        yield "procMount", f'{_named("container", found)} must not set securityContext.procMount to "Unmasked"'


def sysctls(spec: Json, containers: Sequence[Json]) -> Iterator[Finding]:
    found = [each.get("name", "") for each in _security(spec).get("sysctls") or ()]
    found = [name for name in found if name not in SYSCTLS]
    if found:
        yield "forbidden sysctls", ", ".join(found)


def seccomp(spec: Json, containers: Sequence[Json]) -> Iterator[Finding]:
    places = ["pod"] if _profile(_security(spec)) == "Unconfined" else []
    found = _where(containers, lambda security: _profile(security) == "Unconfined")
    places += [_named("container", found)] if found else []
    if places:
        yield (
            "seccompProfile",
            f'{" and ".join(places)} must not set securityContext.seccompProfile.type to "Unconfined"',
        )


def _profile(security: Json) -> str:
    return (security.get("seccompProfile") or {}).get("type") or ""


def selinux(spec: Json, containers: Sequence[Json]) -> Iterator[Finding]:
    def is_wrong(security: Json) -> bool:
        options = security.get("seLinuxOptions") or {}
        return (options.get("type") or "") not in SELINUX_TYPES or bool(options.get("user") or options.get("role"))

    places = ["pod"] if is_wrong(_security(spec)) else []
    found = _where(containers, is_wrong)
    places += [_named("container", found)] if found else []
    if places:
        yield "seLinuxOptions", f"{' and '.join(places)} set forbidden securityContext.seLinuxOptions"


def volume_types(spec: Json, containers: Sequence[Json]) -> Iterator[Finding]:
    found: dict[str, list[str]] = {}
    for volume in spec.get("volumes") or ():
        for kind in volume.keys() - VOLUMES - {"name"}:
            found.setdefault(kind, []).append(volume.get("name", ""))
    for kind, names in sorted(found.items()):
        verb = "uses" if len(names) == 1 else "use"
        yield "restricted volume types", f'{_named("volume", names)} {verb} restricted volume type "{kind}"'


def privilege_escalation(spec: Json, containers: Sequence[Json]) -> Iterator[Finding]:
    found = _where(containers, lambda security: security.get("allowPrivilegeEscalation") is not False)
    if found:
        yield (
            "allowPrivilegeEscalation != false",
            f"{_named('container', found)} must set securityContext.allowPrivilegeEscalation=false",
        )


def dropped(spec: Json, containers: Sequence[Json]) -> Iterator[Finding]:
    found = _where(containers, lambda security: "ALL" not in ((security.get("capabilities") or {}).get("drop") or ()))
    if found:
        yield (
            "unrestricted capabilities",
            f'{_named("container", found)} must set securityContext.capabilities.drop=["ALL"]',
        )
    adding = [c.get("name", "") for c in containers if any(each != "NET_BIND_SERVICE" for each in _added(c))]
    if adding:
        yield (
            "unrestricted capabilities",
            f'{_named("container", adding)} must not include more than "NET_BIND_SERVICE" in '
            "securityContext.capabilities.add",
        )


def non_root(spec: Json, containers: Sequence[Json]) -> Iterator[Finding]:
    pod = _security(spec).get("runAsNonRoot")
    wrong = _where(containers, lambda security: security.get("runAsNonRoot") is False)
    missing = _where(containers, lambda security: security.get("runAsNonRoot") is None) if pod is not True else []
    if wrong:
        yield "runAsNonRoot != true", f"{_named('container', wrong)} must not set securityContext.runAsNonRoot=false"
    if missing:
        yield (
            "runAsNonRoot != true",
            f"pod or {_named('container', missing)} must set securityContext.runAsNonRoot=true",
        )


def root_user(spec: Json, containers: Sequence[Json]) -> Iterator[Finding]:
    places = ["pod"] if _security(spec).get("runAsUser") == 0 else []
    found = _where(containers, lambda security: security.get("runAsUser") == 0)
    places += [_named("container", found)] if found else []
    if places:
        yield "runAsUser=0", f"{' and '.join(places)} must not set runAsUser=0"


def seccomp_set(spec: Json, containers: Sequence[Json]) -> Iterator[Finding]:
    if _profile(_security(spec)) in ("RuntimeDefault", "Localhost"):
        return
    found = _where(containers, lambda security: _profile(security) not in ("RuntimeDefault", "Localhost"))
    if found:
        yield (
            "seccompProfile",
            f"pod or {_named('container', found)} must set securityContext.seccompProfile.type to "
            '"RuntimeDefault" or "Localhost"',
        )


BASELINE: Final[tuple[Check, ...]] = (
    capabilities, host_namespaces, host_path, host_ports, privileged, proc_mount, seccomp, selinux, sysctls,
)  # fmt: skip
RESTRICTED: Final[tuple[Check, ...]] = (
    *BASELINE, privilege_escalation, dropped, non_root, root_user, seccomp_set, volume_types,
)  # fmt: skip
CHECKS: Final[dict[str, tuple[Check, ...]]] = {"privileged": (), "baseline": BASELINE, "restricted": RESTRICTED}
# Kind → the path of its pod's spec; templates are only warned of.
TEMPLATES: Final[dict[str, tuple[str, ...]]] = {
    "Pod": ("spec",),
    "Deployment": ("spec", "template", "spec"),
    "ReplicaSet": ("spec", "template", "spec"),
    "ReplicationController": ("spec", "template", "spec"),
    "StatefulSet": ("spec", "template", "spec"),
    "DaemonSet": ("spec", "template", "spec"),
    "Job": ("spec", "template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
    "PodTemplate": ("template", "spec"),
}


def violations(level: str, spec: Json) -> str:
    """What a pod's spec has against a level, in one line; "" when nothing."""
    return ", ".join(f"{what} ({where})" for what, where in _findings(level, spec))


def reasons(level: str, spec: Json) -> list[str]:
    """The same without the places."""
    return [what for what, _ in _findings(level, spec)]


def _findings(level: str, spec: Json) -> Iterator[Finding]:
    fields = ("initContainers", "containers", "ephemeralContainers")
    containers = [container for field in fields for container in spec.get(field) or ()]
    for check in CHECKS[level]:
        yield from check(spec, containers)


def admit(context: RequestContext, obj: Json, old: Json | None) -> Json:
    """Refuse or warn of a pod, warn of a template. Raises Forbidden."""
    path = TEMPLATES.get(context.resource.stored.kind)
    if path is None or context.route.subresource not in ("", "ephemeralcontainers", "resize"):
        return obj
    enforced, audited, warned = levels(context)
    if enforced == audited == warned == "privileged":
        return obj
    spec: Any = obj
    for part in path:
        spec = (spec or {}).get(part)
    if not isinstance(spec, dict):
        return obj
    if found := violations(audited, spec):
        annotations.annotate(f"{LABEL}audit-violations", f'would violate PodSecurity "{audited}:latest": {found}')
    if path == ("spec",):
        annotations.annotate(f"{LABEL}enforce-policy", f"{enforced}:latest")
    if path == ("spec",) and (found := violations(enforced, spec)):
        why = f'violates PodSecurity "{enforced}:latest": {found}'
        raise status.forbidden("pods", obj["metadata"].get("name", ""), why)
    if found := violations(warned, spec):
        context.warnings.append(f'would violate PodSecurity "{warned}:latest": {found}')
    return obj


class _Meta(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Namespace(msgspec.Struct):
    metadata: _Meta


_namespace = msgspec.json.Decoder(_Namespace)


def levels(context: RequestContext) -> tuple[str, str, str]:
    """(enforce, audit, warn) of the request's namespace."""
    default = context.server.pod_security
    name = context.route.namespace
    entry = context.server.store.get(f"/registry/namespaces/{name}")
    if entry is None or name in EXEMPT:
        return "privileged", "privileged", "privileged"
    if LABEL.encode() not in entry.value:
        return default, "privileged", "privileged"
    labels = _namespace.decode(entry.value).metadata.labels or {}
    defaults = (("enforce", default), ("audit", "privileged"), ("warn", "privileged"))
    chosen = [labels.get(f"{LABEL}{mode}", other) for mode, other in defaults]
    # A level that nobody knows is treated as the strictest, as upstream does.
    enforced, audited, warned = (level if level in LEVELS else "restricted" for level in chosen)
    return enforced, audited, warned
