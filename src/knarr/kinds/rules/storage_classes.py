"""Checks of storage.k8s.io: classes, CSI drivers and nodes, attachments, capacities. Texts are upstream's."""

from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import numbers, volumes
from knarr.objects import faults, names

Json = dict[str, Any]
PARAMETERS_MAX: Final = 512
PARAMETER_BYTES_MAX: Final = 256 * 1024
ERROR_BYTES_MAX: Final = 1024
NODE_ID_MAX: Final = 192
FS_GROUP_POLICIES: Final = ("File", "None", "ReadWriteOnceWithFSType")
LIFECYCLES: Final = ("Ephemeral", "Persistent")
NODE_CHANGE: Final = "field is immutable"


def storage_class(found: Json) -> Iterator[Cause]:
    provisioner = found.get("provisioner", "")
    if provisioner:
        yield from faults.each("provisioner", provisioner, names.qualified(provisioner.lower()))
    yield from _parameters(found.get("parameters") or {})
    policy = found.get("reclaimPolicy", "")
    if policy not in ("Delete", "Retain"):
        yield faults.unsupported("reclaimPolicy", policy, ("Delete", "Retain"))
    for index, term in enumerate(found.get("allowedTopologies") or ()):
        yield from _topology(term, f"allowedTopologies[{index}]")


def _parameters(parameters: Json, *, is_required: bool = False) -> Iterator[Cause]:
    if is_required and not parameters:
        yield faults.required("parameters", "must contain at least one key/value pair")
    if len(parameters) > PARAMETERS_MAX:
        yield faults.too_long("parameters", PARAMETERS_MAX)
        return
    size = 0
    for key, value in parameters.items():
        if not key:
            yield faults.invalid("parameters", key, "field can not be empty.")
        size += len(key) + len(value)
    if size > PARAMETER_BYTES_MAX:
        yield faults.too_long("parameters", PARAMETER_BYTES_MAX)


def _topology(term: Json, field: str) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, expression in enumerate(term.get("matchLabelExpressions") or ()):
        path, key = f"{field}.matchLabelExpressions[{index}]", expression.get("key", "")
        if not expression.get("values"):
            yield faults.required(f"{path}.values")
        for at, value in enumerate(expression.get("values") or ()):
            if value in expression["values"][:at]:
                yield faults.duplicate(f"{path}.values[{at}]", value)
        yield from faults.each(f"{path}.key", key, names.qualified(key))
        if key in seen:
            yield faults.duplicate(f"{path}.key", key)
        seen.add(key)


def attributes_class(found: Json) -> Iterator[Cause]:
    yield from volumes.csi_driver(found.get("driverName", ""), "driverName")
    yield from _parameters(found.get("parameters") or {}, is_required=True)


def driver(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    yield from volumes.csi_driver(found["metadata"].get("name", ""), "metadata.name")
    for key in ("attachRequired", "podInfoOnMount", "storageCapacity"):
        if spec.get(key) is None:
            yield faults.required(f"spec.{key}")
    policy = spec.get("fsGroupPolicy")
    if policy is not None and policy not in FS_GROUP_POLICIES:
        yield faults.unsupported("spec.fsGroupPolicy", policy, FS_GROUP_POLICIES)
    for mode in spec.get("volumeLifecycleModes") or ():
        if mode not in LIFECYCLES:
            yield faults.unsupported("spec.volumeLifecycleModes", mode, LIFECYCLES)
    audiences: set[str] = set()
    for index, request in enumerate(spec.get("tokenRequests") or ()):
        field = f"spec.tokenRequests[{index}]"
        if request.get("audience", "") in audiences:
            yield faults.duplicate(f"{field}.audience", request.get("audience", ""))
        audiences.add(request.get("audience", ""))
        yield from numbers.token_seconds(request.get("expirationSeconds"), f"{field}.expirationSeconds")


def node(found: Json) -> Iterator[Cause]:
    seen: set[str] = set()
    for index, each in enumerate((found.get("spec") or {}).get("drivers") or ()):
        field, name = f"spec.drivers[{index}]", each.get("name", "")
        yield from volumes.csi_driver(name, f"{field}.name")
        if name in seen:
            yield faults.duplicate(f"{field}.name", name)
        seen.add(name)
        if len(each.get("nodeID", "")) > NODE_ID_MAX:
            yield faults.invalid(f"{field}.nodeID", each["nodeID"], f"must be {NODE_ID_MAX} characters or less")
        count = (each.get("allocatable") or {}).get("count")
        yield from numbers.non_negative(count, f"{field}.allocatable.count")
        keys = each.get("topologyKeys") or []
        for at, key in enumerate(keys):
            yield from faults.each(f"{field}.topologyKeys", key, names.qualified(key))
            if key in keys[:at]:
                yield faults.duplicate(f"{field}.topologyKeys", key)


def node_change(new: Json, old: Json) -> Iterator[Cause]:
    """A driver that is there stays as it is; only how many volumes it can attach may change."""
    given, held = (
        {each.get("name"): {key: value for key, value in each.items() if key != "allocatable"} for each in drivers}
        for drivers in ((side.get("spec") or {}).get("drivers") or () for side in (new, old))
    )
    for name, before in held.items():
        if name in given and given[name] != before:
            yield faults.invalid("spec.drivers", given[name], NODE_CHANGE)


def attachment(found: Json) -> Iterator[Cause]:
    spec = found.get("spec") or {}
    source = spec.get("source") or {}
    kinds = [key for key in ("inlineVolumeSpec", "persistentVolumeName") if source.get(key)]
    if not kinds:
        detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        yield faults.required("spec.source", detail)
    elif len(kinds) > 1:
        detail = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
        yield faults.forbidden("spec.source", detail)
    name = source.get("persistentVolumeName")
    if name:
        yield from faults.each("spec.source.persistentVolumeName", name, names.dns_subdomain(name))
    if spec.get("nodeName"):
        yield from faults.each("spec.nodeName", spec["nodeName"], names.dns_subdomain(spec["nodeName"]))


def attachment_status(new: Json, old: Json) -> Iterator[Cause]:
    """What an attacher says of itself has bounds."""
    status = new.get("status") or {}
    told = status.get("attachmentMetadata") or {}
    size = sum(len(key.encode()) + len(value.encode()) for key, value in told.items())
    if size > PARAMETER_BYTES_MAX:
        yield faults.too_long("status.attachmentMetadata", PARAMETER_BYTES_MAX)
    for key in ("attachError", "detachError"):
        if len((status.get(key) or {}).get("message", "").encode()) > ERROR_BYTES_MAX:
            yield faults.too_long(f"status.{key}.message", ERROR_BYTES_MAX)


def capacity(found: Json) -> Iterator[Cause]:
    yield from faults.each(
        "storageClassName", found.get("storageClassName", ""), names.dns_subdomain(found.get("storageClassName", ""))
    )
    yield from numbers.label_selector(found.get("nodeTopology"), "nodeTopology")
    for key in ("capacity", "maximumVolumeSize"):
        if str(found.get(key, "")).startswith("-"):
            yield faults.invalid(key, found[key], faults.NON_NEGATIVE)
