"""Static pods: pods that a file on the node asks for, and their mirrors in the API. Pure.

`static_pod` makes a pod out of a file, `mirror` the API object that shows it, `mirror_act` says what to do about a
mirror. The pod's uid is a hash of node, file and content: another content is another pod. Reading files and talking to
the API is static_source.py's and mirrors.py's. Spec: docs "Create static Pods".
"""

import hashlib
import json
from typing import Any, Literal

import msgspec

from knarr.base.clock import Instant, rfc3339
from knarr.base.errors import Invalid
from knarr.kinds import validating, walks
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.pod import Pod
from knarr.kubelet.preparation import needed
from knarr.wire import strict_yaml

Json = dict[str, Any]
HASH = "kubernetes.io/config.hash"
SOURCE = "kubernetes.io/config.source"
SEEN = "kubernetes.io/config.seen"
MIRROR = "kubernetes.io/config.mirror"


def static_pod(content: bytes, file: str, node_name: str, now: Instant) -> Json:
    """The pod of a file, named for its node. Raises Invalid and BadRequest with what is wrong in the file."""
    found = strict_yaml.decode(content)
    if not isinstance(found, dict) or (found.get("apiVersion"), found.get("kind")) != ("v1", "Pod"):
        raise Invalid("a static pod's file holds one object of apiVersion v1 and kind Pod")
    meta, spec = _mapping(found, "metadata"), _mapping(found, "spec")
    uid = hashlib.sha256(b"\0".join((node_name.encode(), file.encode(), content))).hexdigest()[:32]
    meta["name"] = f"{meta.get('name', '')}-{node_name}".lower()
    meta["namespace"] = meta.get("namespace") or "default"
    annotations = {HASH: uid, SOURCE: "file", SEEN: rfc3339(now)}
    meta |= {"uid": uid, "creationTimestamp": rfc3339(now)}
    meta["annotations"] = {**_mapping(meta, "annotations", "metadata."), **annotations}
    spec["nodeName"] = node_name
    # No taint drives a static pod away: its file says where it runs.
    tolerations = spec.get("tolerations") or []
    if not isinstance(tolerations, list):
        raise Invalid("spec.tolerations: it is no list")
    spec["tolerations"] = [*tolerations, {"operator": "Exists", "effect": "NoExecute"}]
    pod = walks.defaulted(POD, {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
    faults = validating.create_faults(POD, pod)
    if faults:
        raise Invalid("; ".join(f"{cause.field}: {cause.message}" for cause in faults))
    _refuse_references(msgspec.convert(pod, Pod))
    return pod


def _mapping(found: Json, field: str, above: str = "") -> Json:
    """A copy of what the field holds; {} when it is not there. Raises Invalid, with the path `above` it, for anything
    but a mapping."""
    value = found.get(field) or {}
    if not isinstance(value, dict):
        raise Invalid(f"{above}{field}: {json.dumps(value, default=str)} is no mapping")
    return dict(value)


def _refuse_references(pod: Pod) -> None:
    """A static pod stands without the API server, so it may not ask it for anything."""
    named = [kind.plural for kind, names in needed(pod).items() if names]
    if pod.spec.service_account_name:
        named.append("serviceaccounts")
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is not None:
            named.append("persistentvolumeclaims")
    if named:
        raise Invalid(f"static pods may not reference {', '.join(sorted(set(named)))}")


def mirror(pod: Json, node_name: str, node_uid: str) -> Json:
    """The API object that shows a static pod; it goes with its Node."""
    meta = {key: value for key, value in pod["metadata"].items() if key not in ("uid", "creationTimestamp")}
    meta["annotations"] = {**meta["annotations"], MIRROR: meta["annotations"][HASH]}
    owner = {"apiVersion": "v1", "kind": "Node", "name": node_name, "uid": node_uid, "controller": True}
    return {**pod, "metadata": {**meta, "ownerReferences": [owner]}}


def is_mirror(pod: Pod) -> bool:
    return MIRROR in pod.metadata.annotations


def mirror_act(uid: str | None, shown: Pod | None) -> Literal["create", "delete"] | None:
    """What to do so that the mirror shows the static pod of that uid, or nothing when there is none."""
    if shown is None:
        return "create" if uid is not None else None
    is_true = uid is not None and shown.metadata.annotations.get(MIRROR) == uid
    return None if is_true and shown.metadata.deletion_timestamp is None else "delete"
