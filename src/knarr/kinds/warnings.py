"""Warnings: what a client is told about an object that is accepted all the same. Pure; a table by kind.

Deprecated kinds, and fields that are deprecated, without effect, or hide each other. Texts are upstream's. Pods and
templates are in pod_warnings.py. Not here: faults that refuse (rules/), unknown fields (objects/decoding.py).
"""

import ipaddress
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from knarr.kinds import pod_warnings
from knarr.kinds.registry import Kind
from knarr.objects import names, quantity

Json = dict[str, Any]
Warn = Callable[[Json], Iterator[str]]

# (group, version, kind) → what every answer about it says.
DEPRECATED: Final[Mapping[tuple[str, str, str], str]] = {
    ("", "v1", "ComponentStatus"): "v1 ComponentStatus is deprecated in v1.19+",
    ("", "v1", "Endpoints"): "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
}
_NAME: Final = "which can result in surprising behavior; a DNS label is recommended"
_OF_PODS: Final = f"metadata.name: this is used in Pod names and hostnames, {_NAME}"
# Kinds whose name becomes part of a host's → what is said of one that is no DNS label.
_NAMED: Final[Mapping[tuple[str, str], str]] = {
    ("", "Pod"): f"metadata.name: this is used in the Pod's hostname, {_NAME}",
    ("", "ReplicationController"): _OF_PODS,
    ("apps", "Deployment"): _OF_PODS,
    ("apps", "ReplicaSet"): _OF_PODS,
    ("batch", "Job"): _OF_PODS,
    ("batch", "CronJob"): _OF_PODS,
}
_VOLUME_ANNOTATIONS: Final = {
    "volume.beta.kubernetes.io/storage-class":
        'deprecated since v1.8; use "storageClassName" attribute instead',
    "volume.beta.kubernetes.io/mount-options": 'deprecated since v1.31; use "mountOptions" attribute instead',
}  # fmt: skip
HINTS, MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
COMPLETIONS_MANY, PARALLELISM_MANY = 100_000, 10_000
WARNINGS_MAX: Final = 100


def of(kind: Kind, obj: Json, *, is_new: bool = True) -> list[str]:
    """What to say about a new or changed object."""
    key = (kind.group, kind.kind)
    row = _ROWS.get(key)
    found = list(itertools.islice(row(obj), WARNINGS_MAX)) if row is not None else []
    if is_new and key in _NAMED:
        wrong = names.dns_label(obj["metadata"].get("name", "") if "metadata" in obj else "x")
        if wrong:
            found.insert(0, f"{_NAMED[key]}: [{' '.join(wrong)}]")
    return list(dict.fromkeys(found)) if found else found


def _at(path: str) -> Warn:
    """Warnings of the pod template at a path such as `spec.template`."""

    def of_template(obj: Json) -> Iterator[str]:
        template: Any = obj
        for part in path.split("."):
            template = (template or {}).get(part)
        if isinstance(template, dict):
            yield from pod_warnings.of_pod(template, f"{path}.")

    return of_template


def _job_at(path: str) -> Warn:
    of_template = _at(f"{path}.template")

    def of_job(obj: Json) -> Iterator[str]:
        spec: Any = obj
        for part in path.split("."):
            spec = (spec or {}).get(part) or {}
        is_large = (spec.get("completions") or 0) > COMPLETIONS_MANY and (
            spec.get("parallelism") or 0
        ) > PARALLELISM_MANY
        if spec.get("completionMode") == "Indexed" and is_large:
            yield (
                f"{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than "
                "10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
            )
        yield from of_template(obj)

    return of_job


def _annotated(obj: Json, texts: Mapping[str, str]) -> Iterator[str]:
    annotations = (obj.get("metadata") or {}).get("annotations") or {}
    for key, text in texts.items():
        if key in annotations:
            yield f"metadata.annotations[{key}]: {text}"


def _ingress(obj: Json) -> Iterator[str]:
    if "kubernetes.io/ingress.class" in ((obj.get("metadata") or {}).get("annotations") or {}):
        yield "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"


def _volume(obj: Json) -> Iterator[str]:
    spec = obj.get("spec") or {}
    yield from _annotated(obj, _VOLUME_ANNOTATIONS)
    for name in spec:
        if name in pod_warnings.VOLUMES:
            written, text = pod_warnings.VOLUMES[name]
            yield f"spec.{written}: {text}"
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        yield (
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended "
            "approach is to use dynamic provisioning."
        )
    required = (spec.get("nodeAffinity") or {}).get("required") or {}
    for index, term in enumerate(required.get("nodeSelectorTerms") or ()):
        yield from pod_warnings.of_term(term, f"spec.nodeAffinity.required.nodeSelectorTerms[{index}]")
    amount = (spec.get("capacity") or {}).get("storage")
    if amount is not None and quantity.parse(str(amount)).denominator != 1:
        yield f'spec.capacity[storage]: fractional byte value "{amount}" is invalid, must be an integer'


def _claim(obj: Json) -> Iterator[str]:
    yield from _annotated(obj, {key: text for key, text in _VOLUME_ANNOTATIONS.items() if key.endswith("class")})
    yield from pod_warnings.of_claim_spec(obj.get("spec") or {}, "spec")


def _stateful_set(obj: Json) -> Iterator[str]:
    spec = obj.get("spec") or {}
    yield from _TEMPLATE(obj)
    for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        yield from pod_warnings.of_claim_spec(claim.get("spec") or {}, f"spec.volumeClaimTemplates[{index}]")
    if (spec.get("revisionHistoryLimit") or 0) < 0:
        text = "a negative value retains all historical revisions; a value >= 0 is recommended"
        yield f"spec.revisionHistoryLimit: {text}"


def _service(obj: Json) -> Iterator[str]:
    spec = obj.get("spec") or {}
    kind, address, external = spec.get("type"), spec.get("clusterIP", ""), spec.get("externalIPs") or ()
    if HINTS in ((obj.get("metadata") or {}).get("annotations") or {}):
        yield f"annotation {HINTS} is deprecated, please use {MODE} instead"
    is_headless = kind == "ClusterIP" and address == "None"
    for key in ("clusterIPs", "externalIPs"):
        for index, text in enumerate(spec.get(key) or ()):
            yield from _address(text, f"spec.{key}[{index}]")
    if is_headless:
        if spec.get("loadBalancerIP"):
            yield "spec.loadBalancerIP is ignored for headless services"
        if external:
            yield "spec.externalIPs is ignored for headless services"
        if spec.get("sessionAffinity", "None") != "None":
            yield "spec.SessionAffinity is ignored for headless services"
    elif external and kind != "ExternalName":
        yield "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    if spec.get("loadBalancerIP"):
        yield from _address(spec["loadBalancerIP"], "spec.loadBalancerIP")
    for index, text in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        yield from _range(text, f"spec.loadBalancerSourceRanges[{index}]")
    if kind == "ExternalName" and external:
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if kind != "ExternalName" and spec.get("externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if spec.get("trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'


def _address(text: str, at: str) -> Iterator[str]:
    """An address of version 6 that is not written as RFC 5952 says."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return
    if found.version == 6 and str(found) != text:
        yield f'{at}: IPv6 address "{text}" should be in RFC 5952 canonical format ("{found}")'


def _range(text: str, at: str) -> Iterator[str]:
    """A range that has more bits than its length says, or is written in an odd way."""
    try:
        found = ipaddress.ip_interface(text)
    except ValueError:
        return
    if found.ip != found.network.network_address:
        one = f"{found.ip}/{found.max_prefixlen}"
        yield f'{at}: CIDR value "{text}" is ambiguous in this context (should be "{found.network}" or "{one}"?)'
    if found.version == 6 and str(found) != text:
        yield f'{at}: IPv6 CIDR value "{text}" should be in RFC 5952 canonical format ("{found}")'


def _network_policy(obj: Json) -> Iterator[str]:
    for side, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate((obj.get("spec") or {}).get(side) or ()):
            for at, peer in enumerate(rule.get(peers) or ()):
                block = peer.get("ipBlock") or {}
                field = f"spec.{side}[{index}].{peers}[{at}].ipBlock"
                yield from _range(block.get("cidr", ""), f"{field}.cidr")
                for place, text in enumerate(block.get("except") or ()):
                    yield from _range(text, f"{field}.except[{place}]")


def _storage_class(obj: Json) -> Iterator[str]:
    for index, term in enumerate(obj.get("allowedTopologies") or ()):
        for at, expression in enumerate(term.get("matchLabelExpressions") or ()):
            key = expression.get("key")
            if key in pod_warnings.LABELS:
                field = f"allowedTopologies[{index}].matchLabelExpressions[{at}].key"
                yield f"{field}: {key} is {pod_warnings.LABELS[key]}"


def _runtime_class(obj: Json) -> Iterator[str]:
    for key in (obj.get("scheduling") or {}).get("nodeSelector") or ():
        if key in pod_warnings.LABELS:
            yield f"scheduling.nodeSelector: {pod_warnings.LABELS[key]}"


def _node(obj: Json) -> Iterator[str]:
    spec = obj.get("spec") or {}
    if spec.get("configSource") is not None:
        yield "spec.configSource: the feature is removed"
    if spec.get("externalID"):
        yield "spec.externalID: this field is deprecated, and is unused by Kubernetes"


def _service_account(obj: Json) -> Iterator[str]:
    text = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"
    yield from _annotated(obj, {"kubernetes.io/enforce-mountable-secrets": text})


_TEMPLATE: Final = _at("spec.template")
_ROWS: Final[Mapping[tuple[str, str], Warn]] = {
    ("", "Pod"): pod_warnings.of_pod,
    ("", "PodTemplate"): _at("template"),
    ("", "Node"): _node,
    ("", "ReplicationController"): _TEMPLATE,
    ("", "PersistentVolume"): _volume,
    ("", "PersistentVolumeClaim"): _claim,
    ("", "Service"): _service,
    ("", "ServiceAccount"): _service_account,
    ("apps", "Deployment"): _TEMPLATE,
    ("apps", "ReplicaSet"): _TEMPLATE,
    ("apps", "StatefulSet"): _stateful_set,
    ("apps", "DaemonSet"): _TEMPLATE,
    ("batch", "Job"): _job_at("spec"),
    ("batch", "CronJob"): _job_at("spec.jobTemplate.spec"),
    ("networking.k8s.io", "Ingress"): _ingress,
    ("networking.k8s.io", "NetworkPolicy"): _network_policy,
    ("node.k8s.io", "RuntimeClass"): _runtime_class,
    ("storage.k8s.io", "StorageClass"): _storage_class,
}
