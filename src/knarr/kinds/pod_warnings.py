"""Warnings about pods and pod templates that are accepted all the same. Pure; texts are upstream's.

Deprecated labels, annotations and volumes, and what hides, doubles or matches nothing. `at` is where a template is,
with its final dot ("" for a pod). Not here: the other kinds (warnings.py), faults that refuse (rules/).
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from knarr.objects import quantity

Json = dict[str, Any]
LABELS: Final = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}
_ANNOTATIONS: Final = {
    "scheduler.alpha.kubernetes.io/critical-pod":
        'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}  # fmt: skip
# Annotation (of a container: with its name behind) → the field that took its place, and what is said without it.
_SECCOMP: Final = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_OF_PODS: Final = (("seccomp.security.alpha.kubernetes.io/pod", "seccompProfile", _SECCOMP),)
_OF_CONTAINERS: Final = (
    ("container.seccomp.security.alpha.kubernetes.io/", "seccompProfile", _SECCOMP),
    ("container.apparmor.security.beta.kubernetes.io/", "appArmorProfile",
     'deprecated since v1.30; use the "appArmorProfile" field instead'),
)  # fmt: skip
# Source of a volume → (its name in paths, what is said).
VOLUMES: Final = {
    "photonPersistentDisk": ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    "gitRepo": ("gitRepo", "deprecated in v1.11"),
    "scaleIO": ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    "flocker": ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    "storageos": ("storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    "quobyte": ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    "glusterfs": ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    "cephfs": ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    "rbd": ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
}
NO_POD: Final = "a null labelSelector results in matching no pod"
# Member of a projected volume's source → (its name in paths, where its items are).
_PROJECTED: Final = (("configMap", "configMap"), ("secret", "secrets"), ("downwardAPI", "downwardAPI"))
_BYTES: Final = ("memory", "ephemeral-storage")
_CONTAINERS: Final = ("initContainers", "containers", "ephemeralContainers")
_PORTS_COMPARED: Final = 16
"""So many ports of one number and protocol are compared with the later ones: all pairs would be their square."""


def of_pod(template: Json, at: str = "") -> Iterator[str]:
    spec = template.get("spec") or {}
    annotations = (template.get("metadata") or {}).get("annotations")
    if annotations:
        yield from _annotations(annotations, spec, at)
    for key in spec.get("nodeSelector") or ():
        if key in LABELS:
            yield f"{at}spec.nodeSelector[{key}]: {LABELS[key]}"
    if "affinity" in spec:
        yield from _affinity(spec["affinity"] or {}, f"{at}spec.affinity")
    for index, spread in enumerate(spec.get("topologySpreadConstraints") or ()):
        field, key = f"{at}spec.topologySpreadConstraints[{index}]", spread.get("topologyKey")
        if key in LABELS:
            yield f"{field}.topologyKey: {key} is {LABELS[key]}"
        if spread.get("labelSelector") is None:
            yield f"{field}.labelSelector: {NO_POD}"
    if "volumes" in spec:
        yield from _volumes(spec["volumes"] or [], f"{at}spec.volumes")
    if "imagePullSecrets" in spec or "hostAliases" in spec:
        yield from _doubles(spec, at)
    if "overhead" in spec:
        yield from fractions(spec["overhead"], f"{at}spec.overhead")
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        text = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{at}spec.terminationGracePeriodSeconds: {text}"
    seen_ports: dict[tuple[Any, Any], list[tuple[str, Json]]] = {}
    for kind in _CONTAINERS:
        for index, container in enumerate(spec.get(kind) or ()):
            yield from _container(container, f"{at}spec.{kind}[{index}]", seen_ports)


def _annotations(annotations: Json, spec: Json, at: str) -> Iterator[str]:
    """Annotations of old, and those that a field took the place of where the field is not set."""
    for key, text in _ANNOTATIONS.items():
        if key in annotations:
            yield f"{at}metadata.annotations[{key}]: {text}"
    context = spec.get("securityContext") or {}
    for key, field, text in _OF_PODS:
        if key in annotations and context.get(field) is None:
            yield f"{at}metadata.annotations[{key}]: {text}"
    for kind in _CONTAINERS:
        for container in spec.get(kind) or ():
            own = container.get("securityContext") or {}
            for prefix, field, text in _OF_CONTAINERS:
                key = prefix + container.get("name", "")
                is_set = own.get(field) is not None or (field == "appArmorProfile" and context.get(field) is not None)
                if key in annotations and not is_set:
                    yield f"{at}metadata.annotations[{key}]: {text}"


def _affinity(affinity: Json, at: str) -> Iterator[str]:
    required, preferred = (f"{when}DuringSchedulingIgnoredDuringExecution" for when in ("required", "preferred"))
    nodes = affinity.get("nodeAffinity") or {}
    for index, term in enumerate((nodes.get(required) or {}).get("nodeSelectorTerms") or ()):
        yield from of_term(term, f"{at}.nodeAffinity.{required}.nodeSelectorTerms[{index}]")
    for index, weighted in enumerate(nodes.get(preferred) or ()):
        yield from of_term(weighted.get("preference") or {}, f"{at}.nodeAffinity.{preferred}[{index}].preference")
    for kind in ("podAffinity", "podAntiAffinity"):
        pods = affinity.get(kind) or {}
        for index, term in enumerate(pods.get(required) or ()):
            if term.get("labelSelector") is None:
                yield f"{at}.{kind}.{required}[{index}].labelSelector: {NO_POD}"
        for index, weighted in enumerate(pods.get(preferred) or ()):
            if (weighted.get("podAffinityTerm") or {}).get("labelSelector") is None:
                yield f"{at}.{kind}.{preferred}[{index}].podAffinityTerm.labelSelector: {NO_POD}"


def of_term(term: Json, at: str) -> Iterator[str]:
    """Deprecated labels in a term that selects nodes."""
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        if expression.get("key") in LABELS:
            yield f"{at}.matchExpressions[{index}].key: {expression['key']} is {LABELS[expression['key']]}"


def _volumes(listed: list[Json], at: str) -> Iterator[str]:
    for index, volume in enumerate(listed):
        for name in volume:
            if name in VOLUMES:
                written, text = VOLUMES[name]
                yield f"{at}[{index}].{written}: {text}"
        claim = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
        if claim:
            yield from of_claim_spec(claim.get("spec") or {}, f"{at}[{index}].ephemeral.volumeClaimTemplate.spec")
    projected = [(index, volume["projected"].get("sources") or ()) for index, volume in enumerate(listed)
                 if volume.get("projected")]  # fmt: skip
    tokens = {
        source["serviceAccountToken"].get("path")
        for _, sources in projected
        for source in sources
        if source.get("serviceAccountToken")
    }
    for index, sources in projected if tokens else ():
        yield from _token_paths(sources, tokens, f"{at}[{index}].projected.sources")


def _token_paths(sources: Iterable[Json], tokens: set[Any], at: str) -> Iterator[str]:
    """What would lie where a token lies."""
    for source in sources:
        for key, written in _PROJECTED:
            for index, item in enumerate((source.get(key) or {}).get("items") or ()):
                if item.get("path") in tokens:
                    yield f'{at}.{written}[{index}]: has duplicated path with ServiceAccountToken "{item["path"]}"'
        bundle = (source.get("clusterTrustBundle") or {}).get("path")
        if bundle in tokens:
            yield f'{at}.ClusterTrustBundle: has duplicated path with ServiceAccountToken "{bundle}"'


def _doubles(spec: Json, at: str) -> Iterator[str]:
    for key, field in (("hostAliases", "ip"), ("imagePullSecrets", "name")):
        seen: set[str] = set()
        for index, entry in enumerate(spec.get(key) or ()):
            value = entry.get(field, "")
            if value in seen:
                yield f'{at}spec.{key}[{index}].{field}: duplicate {field} "{value}"'
            elif not value and key == "imagePullSecrets":
                yield f'{at}spec.{key}[{index}].{field}: invalid empty name ""'
            seen.add(value)


def fractions(amounts: Json, at: str) -> Iterator[str]:
    """Bytes that are no whole number."""
    for name in _BYTES:
        value = amounts.get(name)
        if value is not None and quantity.parse(str(value)).denominator != 1:
            yield f'{at}[{name}]: fractional byte value "{value}" is invalid, must be an integer'


def _container(container: Json, at: str, seen_ports: dict[tuple[Any, Any], list[tuple[str, Json]]]) -> Iterator[str]:
    resources = container.get("resources")
    if resources:
        for side in ("limits", "requests"):
            if resources.get(side):
                yield from fractions(resources[side], f"{at}.resources.{side}")
    variables = container.get("env") or ()
    if len(variables) > 1:
        yield from _hidden(variables, at)
    for index, port in enumerate(container.get("ports") or ()):
        yield from _port(port, f"{at}.ports[{index}]", seen_ports)


def _hidden(variables: Iterable[Json], at: str) -> Iterator[str]:
    """Variables whose earlier value is lost; one that is built upon (`X=$(X):more`) is not."""
    names: set[str] = set()
    for index, variable in enumerate(variables):
        name, value = variable.get("name", ""), variable.get("value", "")
        if name in names:
            reference = f"$({name})"
            is_lost = variable.get("valueFrom") is not None or value == reference or reference not in value
            if is_lost:
                yield f'{at}.env[{index}]: hides previous definition of "{name}", which may be dropped when using apply'
        names.add(name)


def _port(port: Json, at: str, seen: dict[tuple[Any, Any], list[tuple[str, Json]]]) -> Iterator[str]:
    host, address = port.get("hostPort") or 0, port.get("hostIP", "")
    key = port.get("containerPort"), port.get("protocol", "TCP")
    if address and not host:
        shown = f"{{Name:{port.get('name', '')} HostPort:0 ContainerPort:{key[0]} Protocol:{key[1]} HostIP:{address}}}"
        yield f"{at}: hostIP set without hostPort: {shown}"
    earlier = seen.setdefault(key, [])
    for where, other in earlier:
        other_host, other_address = other.get("hostPort") or 0, other.get("hostIP", "")
        if (host, address) == (other_host, other_address):
            yield f"{at}: duplicate port definition with {where}"
        elif not host or not other_host:
            yield f"{at}: overlapping port definition with {where}"
        elif host == other_host and bool(address) is not bool(other_address):
            yield f"{at}: dangerously ambiguous port definition with {where}"
    if len(earlier) < _PORTS_COMPARED:
        earlier.append((at, port))


def of_claim_spec(spec: Json, at: str) -> Iterator[str]:
    """A claim for a volume."""
    for side in ("requests", "limits"):
        value = ((spec.get("resources") or {}).get(side) or {}).get("storage")
        if value is not None and quantity.parse(str(value)).denominator != 1:
            yield f'{at}.resources.{side}[storage]: fractional byte value "{value}" is invalid, must be an integer'
