"""Checks of a container's mounts and block devices. `volumes` are the pod's by name. Texts are upstream's."""

from collections.abc import Iterator, Mapping
from typing import Any

from knarr.base.errors import Cause
from knarr.kinds.rules import paths
from knarr.objects import faults

Json = dict[str, Any]
Volumes = Mapping[str, Json]


def of_container(container: Json, field: str, volumes: Volumes) -> Iterator[Cause]:
    seen: set[str] = set()
    devices = {each.get("name"): each.get("devicePath") for each in container.get("volumeDevices") or ()}
    taken = frozenset(devices.values())
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        path = f"{field}.volumeMounts[{index}]"
        if mount.get("name") and mount["name"] not in volumes:
            yield faults.not_found(f"{path}.name", mount["name"])
        where = mount.get("mountPath", "")
        if where in seen:
            yield faults.invalid(f"{path}.mountPath", where, "must be unique")
        seen.add(where)
        if mount.get("name") in devices:
            yield faults.invalid(f"{path}.name", mount["name"], "must not already exist in volumeDevices")
        if where and where in taken:
            yield faults.invalid(f"{path}.mountPath", where, "must not already exist as a path in volumeDevices")
        if len(mount) > 2:
            yield from _options(mount, container, path)
    if devices:
        for index, device in enumerate(container["volumeDevices"]):
            yield from _device(device, volumes, f"{field}.volumeDevices[{index}]")
        yield from _device_conflicts(container, field)


def _options(mount: Json, container: Json, field: str) -> Iterator[Cause]:
    for key in ("subPath", "subPathExpr"):
        if mount.get(key):
            yield from paths.relative(mount[key], f"{field}.{key}")
    if mount.get("subPath") and mount.get("subPathExpr"):
        detail = "subPathExpr and subPath are mutually exclusive"
        yield faults.invalid(f"{field}.subPathExpr", mount["subPathExpr"], detail)
    is_privileged = bool((container.get("securityContext") or {}).get("privileged"))
    if mount.get("mountPropagation") == "Bidirectional" and not is_privileged:
        detail = "Bidirectional mount propagation is available only to privileged containers"
        yield faults.forbidden(f"{field}.mountPropagation", detail)
    if mount.get("recursiveReadOnly") not in (None, "Disabled"):
        if not mount.get("readOnly"):
            yield faults.forbidden(f"{field}.recursiveReadOnly", "may only be specified when readOnly is true")
        if mount.get("mountPropagation") not in (None, "None"):
            detail = "may only be specified when mountPropagation is None or not specified"
            yield faults.forbidden(f"{field}.recursiveReadOnly", detail)


def _device(device: Json, volumes: Volumes, field: str) -> Iterator[Cause]:
    name, path = device.get("name", ""), device.get("devicePath", "")
    if name and name not in volumes:
        yield faults.not_found(f"{field}.name", name)
    elif name and not _may_be_block(volumes[name]):
        detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
        yield faults.invalid(f"{field}.name", name, detail)
    if ".." in path.split("/"):
        yield faults.invalid(f"{field}.devicePath", path, "can not contain backsteps ('..')")


def _may_be_block(volume: Json) -> bool:
    # A StatefulSet's claim template stands here for the claim.
    return "persistentVolumeClaim" in volume or "ephemeral" in volume or "spec" in volume


def _device_conflicts(container: Json, field: str) -> Iterator[Cause]:
    mounted = {each.get("name") for each in container.get("volumeMounts") or ()}
    taken = {each.get("mountPath") for each in container.get("volumeMounts") or ()}
    names: set[str] = set()
    places: set[str] = set()
    for index, device in enumerate(container.get("volumeDevices") or ()):
        name, path = device.get("name", ""), device.get("devicePath", "")
        if name in names:
            yield faults.invalid(f"{field}.volumeDevices[{index}].name", name, "must be unique")
        if path in places:
            yield faults.invalid(f"{field}.volumeDevices[{index}].devicePath", path, "must be unique")
        if name in mounted:
            yield faults.invalid(f"{field}.volumeDevices[{index}].name", name, "must not already exist in volumeMounts")
        if path and path in taken:
            detail = "must not already exist as a path in volumeMounts"
            yield faults.invalid(f"{field}.volumeDevices[{index}].devicePath", path, detail)
        names.add(name)
        places.add(path)
