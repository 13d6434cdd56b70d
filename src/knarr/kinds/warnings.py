"""Warnings: what a client is told about an object that is accepted all the same. Pure; a table by kind.

Deprecated kinds, and fields that are deprecated, without effect, or hide each other. Texts are upstream's.
Not here: faults that refuse (rules/), unknown fields (objects/decoding.py).
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from knarr.kinds.registry import Kind
from knarr.objects import quantity

Json = dict[str, Any]
Warn = Callable[[Json], Iterator[str]]

# (group, version, kind) → what every answer about it says.
DEPRECATED: Final[Mapping[tuple[str, str, str], str]] = {
    ("", "v1", "ComponentStatus"): "v1 ComponentStatus is deprecated in v1.19+",
    ("", "v1", "Endpoints"): "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
}
_LABELS: Final = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}
_SECCOMP: Final = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_ANNOTATIONS: Final = {
    "scheduler.alpha.kubernetes.io/critical-pod":
        'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "seccomp.security.alpha.kubernetes.io/pod": _SECCOMP,
}  # fmt: skip
_ANNOTATION_PREFIXES: Final = {
    "container.seccomp.security.alpha.kubernetes.io/": _SECCOMP,
    "container.apparmor.security.beta.kubernetes.io/":
        'deprecated since v1.30; use the "appArmorProfile" field instead',
}  # fmt: skip
_VOLUMES: Final = {
    "gitRepo": "deprecated in v1.11",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "flocker": "deprecated in v1.22, non-functional in v1.25+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "quobyte": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}


def of(kind: Kind, obj: Json) -> list[str]:
    """What to say about a new or changed object."""
    row = _ROWS.get((kind.group, kind.kind))
    return list(dict.fromkeys(row(obj))) if row is not None else []


def _at(path: str) -> Warn:
    """Warnings of the pod template at a path such as `spec.template`."""

    def of_template(obj: Json) -> Iterator[str]:
        template: Any = obj
        for part in path.split("."):
            template = (template or {}).get(part)
        if isinstance(template, dict):
            yield from _pod(template, f"{path}.")

    return of_template


def pod(obj: Json) -> Iterator[str]:
    yield from _pod(obj, "")


def _pod(template: Json, at: str) -> Iterator[str]:
    spec = template.get("spec") or {}
    for key in (template.get("metadata") or {}).get("annotations") or {}:
        text = _ANNOTATIONS.get(key) or next((t for p, t in _ANNOTATION_PREFIXES.items() if key.startswith(p)), "")
        if text:
            yield f"{at}metadata.annotations[{key}]: {text}"
    for key in spec.get("nodeSelector") or {}:
        if key in _LABELS:
            yield f"{at}spec.nodeSelector[{key}]: {_LABELS[key]}"
    for index, volume in enumerate(spec.get("volumes") or ()):
        for name in volume.keys() & _VOLUMES.keys():
            yield f"{at}spec.volumes[{index}].{name}: {_VOLUMES[name]}"
    for index, secret in enumerate(spec.get("imagePullSecrets") or ()):
        if not secret.get("name"):
            yield f'{at}spec.imagePullSecrets[{index}].name: invalid empty name ""'
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        text = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{at}spec.terminationGracePeriodSeconds: {text}"
    seen_ports: dict[tuple[Any, ...], str] = {}
    for kind in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(kind) or ()):
            yield from _container(container, f"{at}spec.{kind}[{index}]", seen_ports)


def _container(container: Json, at: str, seen_ports: dict[tuple[Any, ...], str]) -> Iterator[str]:
    names: set[str] = set()
    for index, variable in enumerate(container.get("env") or ()):
        name = variable.get("name", "")
        if name in names:
            yield f'{at}.env[{index}]: hides previous definition of "{name}", which may be dropped when using apply'
        names.add(name)
    for index, port in enumerate(container.get("ports") or ()):
        where = f"{at}.ports[{index}]"
        key = (port.get("containerPort"), port.get("protocol", "TCP"), port.get("hostPort"), port.get("hostIP"))
        if key in seen_ports:
            yield f"{where}: duplicate port definition with {seen_ports[key]}"
        seen_ports.setdefault(key, where)
    for side in ("limits", "requests"):
        for name, value in ((container.get("resources") or {}).get(side) or {}).items():
            if name in ("memory", "ephemeral-storage") and quantity.parse(str(value)).denominator != 1:
                yield (f'{at}.resources.{side}[{name}]: fractional byte value "{value}" is invalid, must be an integer')


def _ingress(obj: Json) -> Iterator[str]:
    if "kubernetes.io/ingress.class" in ((obj.get("metadata") or {}).get("annotations") or {}):
        yield "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"


def _volume(obj: Json) -> Iterator[str]:
    spec = obj.get("spec") or {}
    for name in spec.keys() & _VOLUMES.keys():
        yield f"spec.{name}: {_VOLUMES[name]}"
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        yield (
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended "
            "approach is to use dynamic provisioning."
        )


def _claim(obj: Json) -> Iterator[str]:
    requests = ((obj.get("spec") or {}).get("resources") or {}).get("requests") or {}
    value = requests.get("storage")
    if value and quantity.parse(str(value)).denominator != 1:
        yield f'spec.resources.requests[storage]: fractional byte value "{value}" is invalid, must be an integer'


_TEMPLATE: Final = _at("spec.template")
_ROWS: Final[Mapping[tuple[str, str], Warn]] = {
    ("", "Pod"): pod,
    ("", "PodTemplate"): _at("template"),
    ("", "ReplicationController"): _TEMPLATE,
    ("", "PersistentVolume"): _volume,
    ("", "PersistentVolumeClaim"): _claim,
    ("apps", "Deployment"): _TEMPLATE,
    ("apps", "ReplicaSet"): _TEMPLATE,
    ("apps", "StatefulSet"): _TEMPLATE,
    ("apps", "DaemonSet"): _TEMPLATE,
    ("batch", "Job"): _TEMPLATE,
    ("batch", "CronJob"): _at("spec.jobTemplate.spec.template"),
    ("networking.k8s.io", "Ingress"): _ingress,
}
