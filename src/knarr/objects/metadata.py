"""Metadata: what every object's metadata must be, on creation and on change. Pure; texts are upstream's."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.objects import faults, names

Json = dict[str, Any]
ANNOTATION_BYTES_MAX: Final = 256 * 1024
JUDGED: Final = ("generateName", "name", "generation", "labels", "annotations", "ownerReferences", "finalizers")
"""What `found` looks at."""
# What of metadata a subresource may carry, and by kind what of it is passed over, as by upstream's strategies.
CARRIED: Final = ("labels", "annotations", "finalizers", "ownerReferences")
NOT_CARRIED: Final[Mapping[str, tuple[str, ...]]] = {
    "Pod": ("ownerReferences",),
    "Deployment": ("labels",),
    **dict.fromkeys(
        ("DeviceTaintRule", "FlowSchema", "PriorityLevelConfiguration", "ResourceClaim", "ServiceCIDR",
         "StorageVersionMigration", "ValidatingAdmissionPolicy", "VolumeAttachment"),
        CARRIED,
    ),
}  # fmt: skip
STANDARD_FINALIZERS: Final = ("kubernetes", "orphan", "foregroundDeletion")


def found(metadata: Mapping[str, Any], name_faults: Callable[[str], list[str]]) -> list[Cause]:
    """The faults of an object's metadata; `name_faults` judges names of its kind."""
    causes: list[Cause] = []
    if metadata.get("generateName"):
        base = names.begun(metadata["generateName"])
        causes += faults.each("metadata.generateName", metadata["generateName"], name_faults(base))
    name = metadata.get("name")
    if not name:
        causes.append(faults.required("metadata.name", "name or generateName is required"))
    else:
        causes += faults.each("metadata.name", name, name_faults(name))
    if metadata.get("generation", 0) < 0:
        causes.append(faults.invalid("metadata.generation", metadata["generation"], faults.NON_NEGATIVE))
    causes += labels(metadata.get("labels") or {}, "metadata.labels")
    causes += annotations(metadata.get("annotations") or {}, "metadata.annotations")
    if "ownerReferences" in metadata:
        causes += _owners(metadata["ownerReferences"])
    if "finalizers" in metadata:
        causes += _finalizers(metadata["finalizers"])
    return causes


def labels(given: Mapping[str, str], field: str) -> list[Cause]:
    causes: list[Cause] = []
    for key, value in given.items():
        causes += faults.each(field, key, names.qualified(key))
        causes += faults.each(field, value, names.label_value(value))
    return causes


def annotations(given: Mapping[str, str], field: str) -> list[Cause]:
    causes: list[Cause] = []
    size = 0
    for key, value in given.items():
        causes += faults.each(field, key, names.qualified(key.lower()))
        size += len(key) + len(value if value.isascii() else value.encode())
    if size > ANNOTATION_BYTES_MAX:
        causes.append(faults.too_long(field, ANNOTATION_BYTES_MAX))
    return causes


def _owners(owners: list[Json]) -> list[Cause]:
    causes: list[Cause] = []
    controllers: list[str] = []
    for index, owner in enumerate(owners):
        field = f"metadata.ownerReferences[{index}]"
        if not owner.get("apiVersion"):
            causes.append(faults.invalid(f"{field}.apiVersion", "", "version must not be empty"))
        for key in ("kind", "name", "uid"):
            if not owner.get(key):
                causes.append(faults.invalid(f"{field}.{key}", "", "must not be empty"))
        if (owner.get("apiVersion"), owner.get("kind")) == ("v1", "Event"):
            causes.append(faults.invalid(field, "/v1, Kind=Event", "v1, Kind=Event is disallowed from being an owner"))
        if owner.get("controller"):
            controllers.append(owner.get("name", ""))
    if len(controllers) > 1:
        detail = "Only one reference can have Controller set to true. "
        detail += f'Found "true" in references for {controllers[0]} and {controllers[1]}'
        causes.append(faults.invalid("metadata.ownerReferences", owners, detail))
    return causes


def _finalizers(given: list[str]) -> list[Cause]:
    causes: list[Cause] = []
    for finalizer in given:
        causes += faults.each("metadata.finalizers", finalizer, names.qualified(finalizer))
        if "/" not in finalizer and finalizer not in STANDARD_FINALIZERS:
            detail = "name is neither a standard finalizer name nor is it fully qualified"
            causes.append(faults.invalid("metadata.finalizers", finalizer, detail))
    if "orphan" in given and "foregroundDeletion" in given:
        detail = "finalizer orphan and foregroundDeletion cannot be both set"
        causes.append(faults.invalid("metadata.finalizers", given, detail))
    return causes


def changed(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[Cause]:
    """The faults of a change of metadata (the server has already kept its own fields)."""
    causes: list[Cause] = []
    if old.get("deletionTimestamp"):
        had = frozenset(old.get("finalizers") or ())
        added = [each for each in new.get("finalizers") or () if each not in had]
        if added:
            detail = "no new finalizers can be added if the object is being deleted, found new finalizers "
            causes.append(faults.forbidden("metadata.finalizers", detail + faults.shown(added)))
    for key in ("name", "namespace"):
        if new.get(key) != old.get(key):
            causes.append(faults.invalid(f"metadata.{key}", new.get(key), faults.IMMUTABLE))
    return causes
