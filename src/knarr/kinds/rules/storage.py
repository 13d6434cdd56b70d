"""Cross-field checks of PersistentVolume and PersistentVolumeClaim. Texts are upstream's."""

from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import numbers
from knarr.objects import faults, quantity

Json = dict[str, Any]
MODES: Final = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")
# Fields of a PersistentVolumeSpec that are no volume source.
SETTINGS: Final = frozenset(
    (
        "accessModes", "capacity", "claimRef", "mountOptions", "nodeAffinity", "persistentVolumeReclaimPolicy",
        "storageClassName", "volumeAttributesClassName", "volumeMode",
    )
)  # fmt: skip


def volume(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    yield from _modes(spec)
    if not spec.get("capacity"):
        yield faults.required("spec.capacity")
    elif "storage" not in spec["capacity"]:
        yield faults.unsupported("spec.capacity", sorted(spec["capacity"]), ("storage",))
    sources = [key for key in spec if key not in SETTINGS]
    if not sources:
        yield faults.required("spec", "must specify a volume type")
    for key in sources[1:]:
        yield faults.forbidden(f"spec.{key}", "may not specify more than 1 volume type")


def claim(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    yield from _modes(spec)
    yield from numbers.label_selector(spec.get("selector"), "spec.selector")
    amount = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if amount is None:
        yield faults.required("spec.resources[storage]")
    elif quantity.parse(amount) <= 0:
        yield faults.invalid("spec.resources[storage]", amount, "must be greater than zero")


def _modes(spec: Json) -> Iterator[Cause]:
    modes = spec.get("accessModes") or ()
    if not modes:
        yield faults.required("spec.accessModes", "at least 1 access mode is required")
    for mode in modes:
        if mode not in MODES:
            yield faults.unsupported("spec.accessModes", mode, MODES)
    if "ReadWriteOncePod" in modes and len(modes) > 1:
        detail = "may not use ReadWriteOncePod with other access modes"
        yield faults.forbidden("spec.accessModes", detail)
