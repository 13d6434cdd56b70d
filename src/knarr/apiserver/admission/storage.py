"""DefaultStorageClass, StorageObjectInUseProtection and PersistentVolumeClaimResize.

The finalizers are taken away by controllers/protection.py once nothing uses the object.
"""

from typing import Final

import msgspec

from knarr.apiserver import status
from knarr.apiserver.admission import defaults
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json
from knarr.objects import quantity

CLASSES: Final = "/registry/storageclasses/"
IS_DEFAULT: Final = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
OLD_CLASS: Final = "volume.beta.kubernetes.io/storage-class"
# Kind → the finalizer that keeps it while it is used.
PROTECTED: Final = {
    "PersistentVolumeClaim": "kubernetes.io/pvc-protection",
    "PersistentVolume": "kubernetes.io/pv-protection",
    "VolumeAttributesClass": "kubernetes.io/vac-protection",
}


def default_class(context: RequestContext, obj: Json, old: Json | None) -> Json:
    """The default class for a new claim that names none; "" names none on purpose."""
    if old is not None or context.resource.stored.kind != "PersistentVolumeClaim":
        return obj
    spec = obj.get("spec") or {}
    if spec.get("storageClassName") is not None or OLD_CLASS in (obj["metadata"].get("annotations") or {}):
        return obj
    found = defaults.chosen(context.server.store, CLASSES, IS_DEFAULT)
    return obj if found is None else {**obj, "spec": {**spec, "storageClassName": found["metadata"]["name"]}}


def protect(context: RequestContext, obj: Json, old: Json | None) -> Json:
    """The finalizer of a new object that others may use."""
    finalizer = PROTECTED.get(context.resource.stored.kind)
    if finalizer is None or old is not None:
        return obj
    metadata = obj["metadata"]
    held = metadata.get("finalizers") or []
    if finalizer in held:
        return obj
    return {**obj, "metadata": {**metadata, "finalizers": [*held, finalizer]}}


def resize(context: RequestContext, obj: Json, old: Json | None) -> Json:
    """A claim grows only where its class allows it. Raises Forbidden."""
    if old is None or context.resource.stored.kind != "PersistentVolumeClaim" or context.route.subresource:
        return obj
    new, live = _requested(obj), _requested(old)
    if not new or not live or quantity.compare(new, live) <= 0:
        return obj
    if not _may_grow(context, old):
        text = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must "
        raise status.forbidden("persistentvolumeclaims", old["metadata"]["name"], text + "support resize")
    return obj


def _requested(claim: Json) -> str:
    found: str = (((claim.get("spec") or {}).get("resources") or {}).get("requests") or {}).get("storage", "")
    return found


def _may_grow(context: RequestContext, claim: Json) -> bool:
    annotations = claim["metadata"].get("annotations") or {}
    name = annotations.get(OLD_CLASS) or (claim.get("spec") or {}).get("storageClassName")
    entry = context.server.store.get(CLASSES + name) if name else None
    return entry is not None and bool(msgspec.json.decode(entry.value).get("allowVolumeExpansion"))
