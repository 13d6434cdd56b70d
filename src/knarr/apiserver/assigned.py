"""Assigned: what upstream's strategies write into a new (or changed) object besides defaults. One function per kind.

Pure: from the object and the caller to the object. What needs other objects is admission (admission/*.py).
"""

import base64
from collections.abc import Callable
from typing import Any, Final

from knarr.apiserver.context import User
from knarr.apiserver.resources import Json, Resource
from knarr.base.clock import Clock, Instant, rfc3339
from knarr.base.errors import BadRequest
from knarr.kinds import quality
from knarr.objects import faults

TIMED: Final = frozenset(("DeviceTaintRule", "ResourceSlice"))
TEMPLATE_GENERATION: Final = "deprecated.daemonset.template.generation"
Assign = Callable[[Json, User], Json]


def pod(obj: Json, user: User) -> Json:
    """Phase Pending, the QoS class, and a condition for gates."""
    spec = obj.get("spec") or {}
    current: Json = {"phase": "Pending", "qosClass": quality.of_pod(spec)}
    if spec.get("schedulingGates"):
        message = "Scheduling is blocked due to non-empty scheduling gates"
        current["conditions"] = [
            {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": message,
             "lastProbeTime": None, "lastTransitionTime": obj["metadata"]["creationTimestamp"]}
        ]  # fmt: skip
    return {**obj, "status": current}


def secret(obj: Json, user: User) -> Json:
    """stringData goes into data and is never stored."""
    given = obj.get("stringData")
    if given is None:
        return obj
    if not isinstance(given, dict) or any(not isinstance(value, str) for value in given.values()):
        raise BadRequest("stringData: it must be a map of strings")
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in given.items()}
    rest = {key: value for key, value in obj.items() if key != "stringData"}
    return {**rest, "data": {**(obj.get("data") or {}), **encoded}} if encoded else rest


def namespace(obj: Json, user: User) -> Json:
    """The finalizer `kubernetes`, phase Active and the label that names it."""
    spec = dict(obj.get("spec") or {})
    finalizers = list(spec.get("finalizers") or [])
    if "kubernetes" not in finalizers:
        finalizers.append("kubernetes")
    spec["finalizers"] = finalizers
    return _named({**obj, "spec": spec, "status": {"phase": "Active"}})


def namespace_update(obj: Json, user: User) -> Json:
    return _named(obj)


def _named(obj: Json) -> Json:
    metadata = obj["metadata"]
    labels = {**(metadata.get("labels") or {}), "kubernetes.io/metadata.name": metadata.get("name", "")}
    return {**obj, "metadata": {**metadata, "labels": labels}}


def job(obj: Json, user: User) -> Json:
    """The selector and labels by uid, unless the user brings a selector of their own."""
    spec = obj.get("spec") or {}
    if spec.get("manualSelector") or not isinstance(spec.get("template"), dict):
        return obj
    uid, name = obj["metadata"]["uid"], obj["metadata"].get("name", "")
    template = dict(spec["template"])
    metadata = dict(template.get("metadata") or {})
    metadata["labels"] = {
        **(metadata.get("labels") or {}),
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }
    template["metadata"] = metadata
    selector = dict(spec.get("selector") or {})
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), "batch.kubernetes.io/controller-uid": uid}
    return {**obj, "spec": {**spec, "template": template, "selector": selector}}


def signing_request(obj: Json, user: User) -> Json:
    """Who asks is who is authenticated."""
    spec: dict[str, Any] = {**(obj.get("spec") or {}), "username": user.name, "groups": list(user.groups)}
    spec.pop("uid", None)
    spec.pop("extra", None)
    if user.uid:
        spec["uid"] = user.uid
    if user.extra:
        spec["extra"] = {key: list(values) for key, values in user.extra.items()}
    return {**obj, "spec": spec}


def stateful_set(obj: Json, user: User) -> Json:
    spec = obj.get("spec") or {}
    claims = spec.get("volumeClaimTemplates")
    if not claims:
        return obj
    typed = [{"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim} for claim in claims]
    return {**obj, "spec": {**spec, "volumeClaimTemplates": typed}}


def daemon_set(obj: Json, user: User) -> Json:
    """The count of its templates that only v1beta1 had as a field; clients may begin where they like."""
    metadata = obj["metadata"]
    said = metadata.get("annotations") or {}
    count = max(template_generation(said), 1)
    return {**obj, "metadata": {**metadata, "annotations": {**said, TEMPLATE_GENERATION: str(count)}}}


def template_generation(annotations: Json) -> int:
    """What the annotation counts, 0 without it. Raises BadRequest."""
    text = annotations.get(TEMPLATE_GENERATION, "0")
    digits = text[1:] if text[:1] in ("-", "+") else text
    if not (digits.isascii() and digits.isdigit()):
        raise BadRequest(f"strconv.ParseInt: parsing {faults.shown(text)}: invalid syntax")
    # By length first: Python reads no number of more than 4300 digits.
    if len(digits.lstrip("0")) > len(str(2**63)) or not -(2**63) <= int(text) < 2**63:
        raise BadRequest(f"strconv.ParseInt: parsing {faults.shown(text)}: value out of range")
    return int(text)


def persistent_volume(obj: Json, user: User) -> Json:
    return {**obj, "status": {"phase": "Pending"}}


def claim(obj: Json, user: User) -> Json:
    """Phase Pending, and both forms of where the content comes from (a source of another namespace has only one)."""
    spec = dict(obj.get("spec") or {})
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    if source and not reference:
        spec["dataSourceRef"] = dict(source)
    elif isinstance(reference, dict) and not source and not reference.get("namespace"):
        spec["dataSource"] = {key: value for key, value in reference.items() if key != "namespace"}
    return {**obj, "spec": spec, "status": {"phase": "Pending"}}


# (group, kind) → what a create assigns.
ON_CREATE: Final[dict[tuple[str, str], Assign]] = {
    ("", "Pod"): pod,
    ("", "Secret"): secret,
    ("", "Namespace"): namespace,
    ("", "PersistentVolume"): persistent_volume,
    ("", "PersistentVolumeClaim"): claim,
    ("batch", "Job"): job,
    ("certificates.k8s.io", "CertificateSigningRequest"): signing_request,
    ("apps", "StatefulSet"): stateful_set,
    ("apps", "DaemonSet"): daemon_set,
}
# (group, kind) → what an update of the whole object assigns.
ON_UPDATE: Final[dict[tuple[str, str], Assign]] = {
    ("", "Secret"): secret,
    ("", "Namespace"): namespace_update,
}


def on_create(resource: Resource, obj: Json, user: User) -> Json:
    row = ON_CREATE.get((resource.stored.group, resource.stored.kind))
    return row(obj, user) if row else obj


def on_update(resource: Resource, obj: Json, user: User) -> Json:
    row = ON_UPDATE.get((resource.stored.group, resource.stored.kind))
    return row(obj, user) if row else obj


def taint_times(resource: Resource, obj: Json, clock: Clock) -> Json:
    """A taint of a device that says no time is of now."""
    if resource.stored.kind not in TIMED:
        return obj
    now = clock.now()
    match resource.stored.kind:
        case "DeviceTaintRule":
            spec = obj.get("spec") or {}
            return {**obj, "spec": {**spec, "taint": _timed(spec["taint"], now)}} if spec.get("taint") else obj
        case "ResourceSlice":
            spec = obj.get("spec") or {}
            devices = [
                {**device, "taints": [_timed(taint, now) for taint in device["taints"]]}
                if device.get("taints")
                else device
                for device in spec.get("devices") or ()
            ]
            return {**obj, "spec": {**spec, "devices": devices}} if devices else obj
        case _:
            return obj


def _timed(taint: Json, now: Instant) -> Json:
    return taint if taint.get("timeAdded") else {**taint, "timeAdded": rfc3339(now)}
