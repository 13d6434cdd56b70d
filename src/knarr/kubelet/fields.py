"""The downward API: what fieldRef and resourceFieldRef answer, for environment and files.

Pure. Messages of refusals are upstream's. Spec: docs "Downward API".
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from knarr.base.errors import Invalid
from knarr.kinds.lens.container import ResourceRequirements
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.references import ResourceFieldSelector
from knarr.kubelet import members
from knarr.kubelet.quantities import amount


@dataclass(frozen=True, slots=True)
class Place:
    """What a pod may learn of where it runs: addresses, and the node's allocatable for absent limits."""

    host_ip: str = ""
    pod_ips: tuple[str, ...] = ()
    allocatable: Mapping[str, str] | None = None


def field_value(pod: Pod, path: str, place: Place) -> str:
    """The text of a fieldRef; Invalid for a path that it does not offer."""
    name, _, key = path.partition("['")
    if key:
        key = key.removesuffix("']")
        if name == "metadata.labels":
            return pod.metadata.labels.get(key, "")
        if name == "metadata.annotations":
            return pod.metadata.annotations.get(key, "")
    values = {
        "metadata.name": pod.metadata.name,
        "metadata.namespace": pod.metadata.namespace,
        "metadata.uid": pod.metadata.uid,
        "spec.nodeName": pod.spec.node_name,
        "spec.serviceAccountName": pod.spec.service_account_name,
        "status.hostIP": place.host_ip,
        "status.hostIPs": place.host_ip,
        "status.podIP": place.pod_ips[0] if place.pod_ips else "",
        "status.podIPs": ",".join(place.pod_ips),
        "metadata.labels": formatted(pod.metadata.labels),
        "metadata.annotations": formatted(pod.metadata.annotations),
    }
    if path not in values:
        raise Invalid(f"unsupported fieldPath: {path}")
    return values[path]


def formatted(pairs: Mapping[str, str]) -> str:
    """Labels or annotations as a downward API file shows them: `key="value"`, sorted, one a line."""
    return "\n".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in sorted(pairs.items()))


def resource_value(pod: Pod, container: members.AnyContainer, ref: ResourceFieldSelector, place: Place) -> str:
    """The text of a resourceFieldRef, rounded up in units of its divisor.

    An absent limit is the pod's own, else the node's allocatable.
    """
    subject = members.find(pod, ref.container_name) if ref.container_name else container
    if subject is None:
        raise Invalid(f"container {ref.container_name} not found")
    which, _, resource = ref.resource.partition(".")
    if which not in ("limits", "requests") or not resource:
        raise Invalid(f"unsupported container resource : {ref.resource}")
    text = _stated(pod, subject.resources, which, resource, place)
    divisor = amount(ref.divisor) if ref.divisor not in ("", "0") else Fraction(1)
    return str(math.ceil(amount(text) / divisor))


def _stated(pod: Pod, resources: ResourceRequirements, which: str, resource: str, place: Place) -> str:
    if which == "requests":
        return resources.requests.get(resource, resources.limits.get(resource, "0"))
    above = {**(place.allocatable or {}), **(pod.spec.resources.limits if pod.spec.resources else {})}
    return resources.limits.get(resource) or above.get(resource, "0")
