"""Cross-field checks of a pod and of pod templates: volumes, restart policy, host settings, tolerations, affinity.

Containers are in containers.py, changes in pod_changes.py. Texts are upstream's.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import containers, numbers
from knarr.objects import faults, metadata, names

Json = dict[str, Any]
NO_VOLUMES: Final[Mapping[str, Json]] = {}


def pod(found: Json) -> Iterator[Cause]:
    yield from pod_spec(found.get("spec") or {}, "spec")


def template(found: Json, field: str, claims: Mapping[str, Json] = NO_VOLUMES) -> Iterator[Cause]:
    """A PodTemplateSpec at a field; `claims` are volumes that its pods will have besides their own."""
    given = found.get("metadata") or {}
    yield from metadata.labels(given.get("labels") or {}, f"{field}.metadata.labels")
    yield from metadata.annotations(given.get("annotations") or {}, f"{field}.metadata.annotations")
    spec = found.get("spec") or {}
    yield from pod_spec(spec, f"{field}.spec", claims)
    if spec.get("ephemeralContainers"):
        yield faults.forbidden(f"{field}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")


def pod_spec(spec: Json, field: str, claims: Mapping[str, Json] = NO_VOLUMES) -> Iterator[Cause]:
    volumes: dict[str, Json] = {}
    for index, volume in enumerate(spec.get("volumes") or ()):
        yield from _volume(volume, f"{field}.volumes[{index}]", volumes)
    yield from containers.all_containers(spec, field, {**claims, **volumes})
    for key in ("terminationGracePeriodSeconds", "activeDeadlineSeconds"):
        value = spec.get(key)
        if value is not None and (value < 0 or (key == "activeDeadlineSeconds" and value < 1)):
            detail = faults.NON_NEGATIVE
            if key == "activeDeadlineSeconds":
                detail = "must be between 1 and 2147483647, inclusive"
            yield faults.invalid(f"{field}.{key}", value, detail)
    for key, value in (spec.get("nodeSelector") or {}).items():
        yield from faults.each(f"{field}.nodeSelector", key, names.qualified(key))
        yield from faults.each(f"{field}.nodeSelector", value, names.label_value(value))
    for key, judge in (("hostname", names.dns_label), ("subdomain", names.dns_label),
                       ("serviceAccountName", names.dns_subdomain), ("nodeName", names.dns_subdomain)):  # fmt: skip
        if spec.get(key):
            yield from faults.each(f"{field}.{key}", spec[key], judge(spec[key]))
    for index, toleration in enumerate(spec.get("tolerations") or ()):
        yield from _toleration(toleration, f"{field}.tolerations[{index}]")
    yield from _affinity(spec.get("affinity") or {}, f"{field}.affinity")
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        yield from _spread(constraint, f"{field}.topologySpreadConstraints[{index}]")
    yield from _dns(spec, field)


def _volume(volume: Json, field: str, seen: dict[str, Json]) -> Iterator[Cause]:
    name = volume.get("name", "")
    if name:
        yield from faults.each(f"{field}.name", name, names.dns_label(name))
        if name in seen:
            yield faults.duplicate(f"{field}.name", name)
    seen[name] = volume
    sources = [key for key in volume if key != "name"]
    for key in sources[1:]:
        yield faults.forbidden(f"{field}.{key}", "may not specify more than 1 volume type")
    if not sources:
        yield faults.required(field, "must specify a volume type")
    path = (volume.get("hostPath") or {}).get("path", "")
    if ".." in path.split("/"):
        yield faults.invalid(f"{field}.hostPath.path", path, "must not contain '..'")
    if "secret" in volume and not volume["secret"].get("secretName"):
        yield faults.required(f"{field}.secret.secretName")
    if "configMap" in volume and not volume["configMap"].get("name"):
        yield faults.required(f"{field}.configMap.name")
    for key in ("secret", "configMap", "projected", "downwardAPI"):
        mode = (volume.get(key) or {}).get("defaultMode")
        if mode is not None and not 0 <= mode <= 0o777:
            detail = "must be a number between 0 and 0777 (octal), both inclusive"
            yield faults.invalid(f"{field}.{key}.defaultMode", mode, detail)
        for index, item in enumerate((volume.get(key) or {}).get("items") or ()):
            yield from relative_path(item.get("path", ""), f"{field}.{key}.items[{index}].path")


def relative_path(path: str, field: str) -> Iterator[Cause]:
    """A path inside a volume."""
    if path.startswith("/"):
        yield faults.invalid(field, path, "must be a relative path")
    if ".." in path.split("/"):
        yield faults.invalid(field, path, "must not contain '..'")


def _toleration(toleration: Json, field: str) -> Iterator[Cause]:
    key, operator = toleration.get("key", ""), toleration.get("operator", "")
    if key:
        yield from faults.each(f"{field}.key", key, names.qualified(key))
    elif operator != "Exists":
        detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield faults.invalid(f"{field}.operator", operator, detail)
    if operator == "Exists" and toleration.get("value"):
        yield faults.invalid(f"{field}.operator", toleration, "value must be empty when `operator` is 'Exists'")
    if toleration.get("tolerationSeconds") is not None and toleration.get("effect") != "NoExecute":
        detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        yield faults.invalid(f"{field}.effect", toleration.get("effect", ""), detail)


def _affinity(affinity: Json, field: str) -> Iterator[Cause]:
    node = affinity.get("nodeAffinity") or {}
    for index, term in enumerate(node.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        weight = term.get("weight", 0)
        if not 1 <= weight <= 100:
            path = f"{field}.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[{index}].weight"
            yield faults.invalid(path, weight, "must be in the range 1-100")
    for kind in ("podAffinity", "podAntiAffinity"):
        held = affinity.get(kind) or {}
        path = f"{field}.{kind}.requiredDuringSchedulingIgnoredDuringExecution"
        for index, term in enumerate(held.get("requiredDuringSchedulingIgnoredDuringExecution") or ()):
            yield from numbers.label_selector(term.get("labelSelector"), f"{path}[{index}].labelSelector")
        path = f"{field}.{kind}.preferredDuringSchedulingIgnoredDuringExecution"
        for index, term in enumerate(held.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
            weight = term.get("weight", 0)
            if not 1 <= weight <= 100:
                yield faults.invalid(f"{path}[{index}].weight", weight, "must be in the range 1-100")


def _spread(constraint: Json, field: str) -> Iterator[Cause]:
    yield from numbers.positive(constraint.get("maxSkew", 0), f"{field}.maxSkew")
    yield from numbers.label_selector(constraint.get("labelSelector"), f"{field}.labelSelector")


def _dns(spec: Json, field: str) -> Iterator[Cause]:
    config = spec.get("dnsConfig") or {}
    if spec.get("dnsPolicy") == "None" and not config.get("nameservers"):
        detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        yield faults.required(f"{field}.dnsConfig.nameservers", detail)
    if len(config.get("nameservers") or ()) > 3:
        detail = "must not have more than 3 nameservers"
        yield faults.invalid(f"{field}.dnsConfig.nameservers", config["nameservers"], detail)
