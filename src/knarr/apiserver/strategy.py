"""Strategy: what the server itself changes in an object that is created or updated, by the kind's row. Pure.

Order of a write: unknown fields, defaults, the server's own fields (uid, times, generation, status), validation.
The walks are in objects/; this file only says when each is made and which part of an object a subresource may touch.
"""

from collections.abc import Mapping
from typing import Any, Final

from knarr.apiserver import assigned, conversions
from knarr.apiserver.resources import Json, Resource
from knarr.base import ids
from knarr.base.clock import Instant, rfc3339
from knarr.base.errors import Cause
from knarr.kinds import validating, walks
from knarr.objects import metadata as carried

# Fields of metadata that only the server sets: an update takes them from the live object.
SERVER_METADATA: Final = (
    "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink",
)  # fmt: skip

# Subresource → the paths that it writes; everything else stays as it is.
PARTS: Final = {
    "status": ("status",),
    "approval": ("status.conditions",),
    "finalize": ("spec.finalizers",),
    "ephemeralcontainers": ("spec.ephemeralContainers",),
    "resize": (
        "spec.resources",
        *(
            f"spec.{containers}[].{field}"
            for containers in ("containers", "initContainers")
            for field in ("resources", "resizePolicy")
        ),
    ),
}

# Kinds whose creator may say their status, as upstream's kubelets do of their nodes.
STATUS_AT_ONCE: Final = frozenset((("", "Node"),))
# (group, kind) → fields that no update changes, without a fault: what a client sends there is passed over.
KEPT: Final = {("certificates.k8s.io", "CertificateSigningRequest"): ("spec",)}
# Fields of a status that a client may leave out without taking them away, as kubelets of old do.
KEPT_IN_STATUS: Final = {("", "Pod"): ("qosClass", "observedGeneration")}


def prepared_create(resource: Resource, obj: Json, now: Instant) -> Json:
    """The object with the metadata of a new one and without a status that its kind does not let clients set."""
    metadata = dict(obj.get("metadata") or {})
    for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion", "generation"):
        metadata.pop(key, None)
    metadata["uid"] = ids.new_uid()
    metadata["creationTimestamp"] = rfc3339(now)
    if resource.kind.facts.get("generation") is not None:
        metadata["generation"] = 1
    base = metadata.get("generateName")
    if not metadata.get("name") and isinstance(base, str) and base:
        metadata["name"] = generated_name(base)
    prepared = {**obj, "metadata": metadata}
    if "status" in resource.kind.subresources and (resource.kind.group, resource.kind.kind) not in STATUS_AT_ONCE:
        prepared.pop("status", None)
    return prepared


def generated_name(base: str) -> str:
    """Upstream's generated name: the base cut to 58 characters and five random ones."""
    return base[:58] + ids.name_suffix()


def prepared_update(resource: Resource, new: Json, old: Json, subresource: str) -> Json:
    """The new object with the server's own fields of the old one, and only the part changed that may be."""
    metadata = dict(new.get("metadata") or {})
    live: Mapping[str, Any] = old["metadata"]
    if [*map(metadata.get, SERVER_METADATA)] != [*map(live.get, SERVER_METADATA)]:
        for key in SERVER_METADATA:
            if key in live:
                metadata[key] = live[key]
            else:
                metadata.pop(key, None)
    prepared = {**new, "metadata": metadata}
    for part in KEPT.get((resource.stored.group, resource.stored.kind), ()):
        prepared[part] = old[part]
    if subresource in PARTS:
        prepared = only_part(prepared, old, PARTS[subresource])
        if subresource == "status":
            _keep_in_status(resource, prepared, old)
    elif "status" in resource.kind.subresources and not subresource:
        prepared.pop("status", None)
        if "status" in old:
            prepared["status"] = old["status"]
    if resource.stored.kind == "DaemonSet":
        _count_templates(prepared, old)
    if not subresource or subresource in ("resize", "ephemeralcontainers", "scale"):
        _bump_generation(resource, prepared, old)
    return prepared


def _count_templates(prepared: Json, old: Json) -> None:
    """The count of a DaemonSet's templates is the server's: what a client sends there is passed over."""
    count = assigned.template_generation(old["metadata"].get("annotations") or {})
    if (prepared.get("spec") or {}).get("template") != (old.get("spec") or {}).get("template"):
        count += 1
    metadata = prepared["metadata"]
    metadata["annotations"] = {**(metadata.get("annotations") or {}), assigned.TEMPLATE_GENERATION: str(max(count, 1))}


def _keep_in_status(resource: Resource, prepared: Json, old: Json) -> None:
    live: Json = old.get("status") or {}
    for key in KEPT_IN_STATUS.get((resource.stored.group, resource.stored.kind), ()):
        if key in live and key not in (prepared.get("status") or {}):
            prepared["status"] = {**(prepared.get("status") or {}), key: live[key]}


def only_part(new: Json, old: Json, paths: tuple[str, ...]) -> Json:
    """The old object with only these paths (and of metadata what a subresource may carry) from the new one."""
    kept = dict(old)
    for path in paths:
        kept = _taken(kept, new, path.split("."))
    metadata = dict(old["metadata"])
    left = carried.NOT_CARRIED.get(old["kind"], ())
    for key in ("managedFields", *carried.CARRIED):
        if key in new["metadata"] and key not in left:
            metadata[key] = new["metadata"][key]
    kept["metadata"] = metadata
    return kept


def _taken(target: Json, source: Json, path: list[str]) -> Json:
    """The target with the source's value at the path: a copy along it. A list's entries are matched by name."""
    first, *rest = path
    if not rest:
        if first in source:
            return {**target, first: source[first]}
        return {key: value for key, value in target.items() if key != first}
    if first.endswith("[]"):
        first = first[:-2]
        given = {entry.get("name"): entry for entry in source.get(first) or ()}
        entries = [_taken(entry, given.get(entry.get("name"), entry), rest) for entry in target.get(first) or ()]
        return {**target, first: entries} if entries else target
    return {**target, first: _taken(target.get(first) or {}, source.get(first) or {}, rest)}


def _bump_generation(resource: Resource, new: Json, old: Json) -> None:
    watched = resource.kind.facts.get("generation")
    if not watched:
        return
    if any(_at(new, path) != _at(old, path) for path in watched):
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1


def _at(obj: Any, path: str) -> Any:
    for part in path.split("."):
        obj = obj.get(part) if isinstance(obj, dict) else None
    return obj


def stored(resource: Resource, obj: Json) -> Json:
    """The object in the stored version. Raises BadRequest."""
    if not resource.is_converted:
        return obj
    return conversions.stored(resource, walks.decoded(resource.kind, obj))


def defaulted(resource: Resource, obj: Json) -> Json:
    """The object in its canonical form with its kind's defaults. Raises BadRequest for values of a wrong type."""
    return walks.defaulted(resource.stored, obj)


def filled(resource: Resource, obj: Json) -> Json:
    """The same object, which must be in its canonical form and the caller's own, with its kind's defaults."""
    return walks.filled(resource.stored, obj)


def unknown_fields(resource: Resource, obj: Json) -> list[str]:
    return walks.unknown_fields(resource.kind, obj)


def create_faults(resource: Resource, obj: Json) -> list[Cause]:
    return validating.create_faults(resource.stored, obj, resource.kind)


def update_faults(resource: Resource, new: Json, old: Json, subresource: str) -> list[Cause]:
    return validating.update_faults(resource.stored, new, old, subresource, resource.kind)
