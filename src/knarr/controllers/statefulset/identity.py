"""What a StatefulSet's pod is by its ordinal: name, hostname, labels, claims. Pure.

Spec: "StatefulSet: pod identity", volumeClaimTemplates.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from knarr.client.client import Json
from knarr.controllers import claims, history, templates
from knarr.kinds.apps import STATEFULSET
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.sets import StatefulSet

POD_NAME: Final = "statefulset.kubernetes.io/pod-name"
POD_INDEX: Final = "apps.kubernetes.io/pod-index"
LABEL_MAX: Final = 63
"""How long a label's value may be."""


class _Spec(msgspec.Struct, rename="camel"):
    volume_claim_templates: list[dict[str, Any]] = msgspec.field(default_factory=list)


class _Claims(msgspec.Struct):
    spec: _Spec


_decoder = msgspec.json.Decoder(_Claims)


@dataclass(frozen=True, slots=True)
class Version:
    """One revision of the pods: its name, which a label of theirs tells, and its template."""

    name: str
    template: Json


def ordinal(pod: Pod, set_name: str) -> int | None:
    """The number in the pod's name; None for a name that is none of the set's."""
    parent, _, number = pod.metadata.name.rpartition("-")
    return int(number) if parent == set_name and number.isascii() and number.isdigit() else None


def version_of(pod: Pod, set_name: str) -> str:
    """The name of the pod's revision. A label without a dash is a lone hash (see `_mark`)."""
    label = pod.metadata.labels.get(history.HASH, "")
    return label if "-" in label else f"{set_name}-{label}"


def _mark(revision: str, set_name: str) -> str:
    """The label's value: as upstream the revision's whole name, which operators compare with status.updateRevision.
    Upstream cannot make the pods of a set whose name leaves no room for that; here they tell the hash alone."""
    return revision if len(revision) <= LABEL_MAX else history.hash_of(revision, set_name)


def claim_templates(raw: bytes | None) -> Sequence[Json]:
    """spec.volumeClaimTemplates, whole."""
    assert raw is not None, "the root of a plan is in its view"
    return _decoder.decode(raw).spec.volume_claim_templates


def claim_name(template: Json, pod_name: str) -> str:
    return f"{template['metadata']['name']}-{pod_name}"


def claim_body(stateful_set: StatefulSet, template: Json, pod_name: str) -> Json:
    """The PersistentVolumeClaim of one pod; it outlives the pod."""
    metadata = dict(template.get("metadata") or {})
    selector = stateful_set.spec.selector
    metadata["name"] = claim_name(template, pod_name)
    metadata["labels"] = {**(metadata.get("labels") or {}), **(selector.match_labels if selector else {})}
    body = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template["spec"]}
    return {key: value for key, value in body.items() if key != "status"}


def pod_body(stateful_set: StatefulSet, version: Version, number: int, volume_claims: Sequence[Json]) -> Json:
    """The pod for one ordinal at one revision."""
    meta = stateful_set.metadata
    name = f"{meta.name}-{number}"
    marks = {history.HASH: _mark(version.name, meta.name), POD_NAME: name, POD_INDEX: str(number)}
    owner = claims.controller_reference(STATEFULSET, meta)
    body = templates.pod(version.template, owner, name=name, labels=marks)
    spec = dict(body["spec"])
    spec["hostname"] = name
    if stateful_set.spec.service_name:
        spec["subdomain"] = stateful_set.spec.service_name
    if volume_claims:
        claimed = {one["metadata"]["name"] for one in volume_claims}
        volumes = [volume for volume in spec.get("volumes") or () if volume["name"] not in claimed]
        for one in volume_claims:
            source = {"claimName": claim_name(one, name)}
            volumes.append({"name": one["metadata"]["name"], "persistentVolumeClaim": source})
        spec["volumes"] = volumes
    return {**body, "spec": spec}
