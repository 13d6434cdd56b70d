"""Cross-field checks of PersistentVolume and PersistentVolumeClaim, and of their changes. Texts are upstream's."""

from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import affinity, volumes
from knarr.objects import faults, names, quantity

Json = dict[str, Any]
# Fields of a PersistentVolumeSpec that are no volume source.
SETTINGS: Final = frozenset(
    (
        "accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "persistentVolumeReclaimPolicy",
        "storageClassName", "volumeAttributesClassName", "volumeMode",
    )
)  # fmt: skip
RESIZES: Final = (
    "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizePending", "NodeResizeInProgress",
    "NodeResizeInfeasible",
)  # fmt: skip
RECLAIM_POLICIES: Final = ("Delete", "Recycle", "Retain")


def volume(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
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
    if spec.get("volumeAttributesClassName") and "csi" not in spec:
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
        if not (spec["local"] or {}).get("path"):
            yield faults.required("spec.local.path")
        if "nodeAffinity" not in spec:
            yield faults.required("spec.nodeAffinity", "Local volume requires node affinity")
    if "csi" in spec and not (spec["csi"] or {}).get("volumeHandle"):
        yield faults.required("spec.csi.volumeHandle")
    is_root = (spec.get("hostPath") or {}).get("path", "").rstrip("/") == "" and "hostPath" in spec
    if is_root and spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        detail = "may not be 'recycle' for a hostPath mount of '/'"
        yield faults.forbidden("spec.persistentVolumeReclaimPolicy", detail)


def volume_change(new: Json, old: Json) -> Iterator[Cause]:
    """The source stays as it is."""
    given, held = new.get("spec") or {}, old.get("spec") or {}
    sources = [{key: value for key, value in spec.items() if key not in SETTINGS} for spec in (given, held)]
    if sources[0] != sources[1]:
        yield faults.forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation")


def claim(found: Json) -> Iterator[Cause]:
    yield from volumes.claim_spec(found.get("spec") or {}, "spec")


def claim_change(new: Json, old: Json) -> Iterator[Cause]:
    """A bound claim may grow; it never becomes smaller than what it has."""
    given, held = (((each.get("spec") or {}).get("resources") or {}).get("requests") or {} for each in (new, old))
    status = old.get("status") or {}
    has = (status.get("capacity") or {}).get("storage")
    if given == held:
        return
    if status.get("phase") != "Bound":
        detail = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        yield faults.forbidden("spec", detail)
        return
    now, before = given.get("storage", "0"), held.get("storage", "0")
    is_smaller = quantity.compare(now, before) < 0
    if is_smaller and (has is None or quantity.compare(now, has) < 0):
        yield faults.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")


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
