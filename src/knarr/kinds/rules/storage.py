"""Cross-field checks of PersistentVolume and PersistentVolumeClaim, and of their changes. Texts are upstream's."""

from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import affinity, paths, volumes
from knarr.objects import faults, names, quantity

Json = dict[str, Any]
# Fields of a PersistentVolumeSpec that are no volume source.
SETTINGS: Final = frozenset(
    (
        "accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "persistentVolumeReclaimPolicy",
        "storageClassName", "volumeAttributesClassName", "volumeMode",
    )
)  # fmt: skip
CLASS_ANNOTATION: Final = "volume.beta.kubernetes.io/storage-class"
RESIZES: Final = (
    "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizePending", "NodeResizeInProgress",
    "NodeResizeInfeasible",
)  # fmt: skip
RECLAIM_POLICIES: Final = ("Delete", "Recycle", "Retain")


def volume(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    if not spec.get("accessModes"):
        yield faults.required("spec.accessModes")
    yield from volumes.access_modes(spec, "spec")
    yield from _capacity(spec)
    kinds = [key for key in spec if key not in SETTINGS]
    if not kinds:
        yield faults.required("spec", "must specify a volume type")
    for key in kinds[1:]:
        yield faults.forbidden(f"spec.{key}", "may not specify more than 1 volume type")
    for key in kinds[:1]:
        yield from volumes.source(key, spec[key] or {}, f"spec.{key}")
    yield from _own_sources(spec)
    if (spec.get("nodeAffinity") or {}).get("required") is not None:
        yield from affinity.node_selector(spec["nodeAffinity"]["required"], "spec.nodeAffinity.required")
    elif "nodeAffinity" in spec:
        yield faults.required("spec.nodeAffinity.required", "must specify required node constraints")
    name = spec.get("storageClassName")
    if name:
        yield from faults.each("spec.storageClassName", name, names.dns_subdomain(name))
    given = spec.get("volumeAttributesClassName")
    if given == "":
        yield faults.required("spec.volumeAttributesClassName", "an empty string is disallowed")
    elif given is not None:
        yield from faults.each("spec.volumeAttributesClassName", given, names.dns_subdomain(given))
    if given is not None and "csi" not in spec:
        yield faults.required("spec.csi", "has to be specified when using volumeAttributesClassName")


def _capacity(spec: Json) -> Iterator[Cause]:
    capacity = spec.get("capacity") or {}
    if not capacity:
        yield faults.required("spec.capacity")
    elif "storage" not in capacity or len(capacity) > 1:
        yield faults.unsupported("spec.capacity", sorted(capacity), ("storage",))
    for name, amount in capacity.items():
        if quantity.parse(amount) <= 0:
            yield faults.invalid(f"spec.capacity[{name}]", amount, faults.NOT_POSITIVE)


def _own_sources(spec: Json) -> Iterator[Cause]:
    """What a PersistentVolume's source asks beyond a pod's."""
    if "local" in spec:
        path = (spec["local"] or {}).get("path", "")
        if not path:
            yield faults.required("spec.local.path")
        yield from paths.no_backsteps(path, "spec.local.path")
        if "nodeAffinity" not in spec:
            yield faults.required("spec.nodeAffinity", "Local volume requires node affinity")
    if "csi" in spec:
        yield from _csi(spec["csi"] or {}, "spec.csi")
    is_root = (spec.get("hostPath") or {}).get("path", "").rstrip("/") == "" and "hostPath" in spec
    if is_root and spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        detail = "may not be 'recycle' for a hostPath mount of '/'"
        yield faults.forbidden("spec.persistentVolumeReclaimPolicy", detail)


def _csi(found: Json, field: str) -> Iterator[Cause]:
    """A PersistentVolume is of no namespace, so its secrets say theirs."""
    if not found.get("volumeHandle"):
        yield faults.required(f"{field}.volumeHandle")
    for key in volumes.CSI_SECRETS:
        if key in found:
            namespace = found[key].get("namespace", "")
            if not namespace:
                yield faults.required(f"{field}.{key}.namespace")
            else:
                yield from faults.each(f"{field}.{key}.namespace", namespace, names.dns_label(namespace))


def volume_change(new: Json, old: Json) -> Iterator[Cause]:
    """The source stays as it is."""
    given, held = new.get("spec") or {}, old.get("spec") or {}
    sources = [{key: value for key, value in spec.items() if key not in SETTINGS} for spec in (given, held)]
    if "controllerExpandSecretRef" not in (held.get("csi") or {}) and "csi" in sources[0]:
        # What is needed to grow may come later.
        sources[0]["csi"] = {key: each for key, each in given["csi"].items() if key != "controllerExpandSecretRef"}
    if sources[0] != sources[1]:
        yield faults.forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation")
    if held.get("volumeAttributesClassName") is not None and given.get("volumeAttributesClassName") is None:
        yield faults.forbidden("spec.volumeAttributesClassName", "update from non-nil value to nil is forbidden")


def claim(found: Json) -> Iterator[Cause]:
    yield from volumes.claim_spec(found.get("spec") or {}, "spec")


def claim_change(new: Json, old: Json) -> Iterator[Cause]:
    """A bound claim may grow; it never becomes smaller than what it has."""
    given, held = (((each.get("spec") or {}).get("resources") or {}).get("requests") or {} for each in (new, old))
    status = old.get("status") or {}
    has = (status.get("capacity") or {}).get("storage", "0")
    yield from _attributes_class(new, old)
    if given == held or not is_bound(new, old):
        return
    now, before = given.get("storage", "0"), held.get("storage", "0")
    if quantity.compare(now, before) < 0 and quantity.compare(now, has) <= 0:
        yield faults.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")


def is_bound(new: Json, old: Json) -> bool:
    """A claim that has its volume may grow, and change that volume's attributes."""
    return (old.get("status") or {}).get("phase") == "Bound"


def gets_volume(new: Json, old: Json) -> bool:
    return not (old.get("spec") or {}).get("volumeName")


def gets_class(new: Json, old: Json) -> bool:
    """A class may be named where none was, and none but the annotation's where that names one."""
    given, held = ((each.get("spec") or {}).get("storageClassName") for each in (new, old))
    said = (old["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION)
    return held is None and given is not None and said in (None, given)


def _attributes_class(new: Json, old: Json) -> Iterator[Cause]:
    """A class of attributes changes into another one."""
    field = "spec.volumeAttributesClassName"
    given, held = ((each.get("spec") or {}).get("volumeAttributesClassName") for each in (new, old))
    if held is not None and given is None:
        yield faults.forbidden(field, "update from non-nil value to nil is forbidden")
    elif held is not None and not given and given != held:
        yield faults.forbidden(field, "update from non-nil value to an empty string is forbidden")


def class_annotation(new: Json, old: Json) -> Iterator[Cause]:
    """The class as it was said before there was a field for it: it stays, but that the field may take its place."""
    given, held = ((each["metadata"].get("annotations") or {}).get(CLASS_ANNOTATION, "") for each in (new, old))
    classes = [(each.get("spec") or {}).get("storageClassName") for each in (new, old)]
    is_moved = bool(held) and classes == [held, None] and not given
    if given != held and not is_moved:
        yield faults.invalid(f"metadata.annotations.{CLASS_ANNOTATION}", given, faults.IMMUTABLE)


def claim_status(new: Json, old: Json) -> Iterator[Cause]:
    """What a claim has, and how far its growth is."""
    status = new.get("status") or {}
    for name, amount in (status.get("capacity") or {}).items():
        yield from _basic(amount, f"status.capacity[{name}]")
    for name, state in (status.get("allocatedResourceStatuses") or {}).items():
        field = "status.allocatedResourceStatus"
        yield from _resource(name, field)
        if state not in RESIZES:
            yield faults.unsupported(field, name, RESIZES)
    for name, amount in (status.get("allocatedResources") or {}).items():
        field = "status.allocatedResources"
        yield from [*_resource(name, field)] or _basic(amount, f"{field}[{name}]")


def _basic(amount: str, field: str) -> Iterator[Cause]:
    if amount.startswith("-"):
        yield faults.invalid(field, int(quantity.parse(amount)), "must be a valid resource quantity")


def _resource(name: str, field: str) -> Iterator[Cause]:
    wrong = names.qualified(name)
    yield from faults.each(field, name, wrong)
    is_native = "/" not in name or "kubernetes.io/" in name
    if not wrong and is_native and name != "storage":
        yield faults.unsupported(field, name, ("storage",))
