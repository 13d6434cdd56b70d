"""Cross-field checks of ConfigMap, Secret, ResourceQuota, LimitRange, Node and PriorityClass."""

import base64
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from knarr.base.errors import Cause
from knarr.objects import faults, names, quantity

Json = dict[str, Any]
SIZE_MAX: Final = 1024 * 1024
# Type of a Secret → keys that must be there.
SECRET_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


def config_map(found: Json) -> Iterator[Cause]:
    texts, binaries = found.get("data") or {}, found.get("binaryData") or {}
    size = 0
    for key, value in texts.items():
        yield from faults.each(f"data[{key}]", key, names.config_key(key))
        if key in binaries:
            yield faults.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
        size += len(key) + (len(value) if value.isascii() else len(value.encode()))
    for key, value in binaries.items():
        yield from faults.each(f"binaryData[{key}]", key, names.config_key(key))
        size += len(key) + len(value) * 3 // 4
    if size > SIZE_MAX:
        yield faults.too_long("", SIZE_MAX)


def secret(found: Json) -> Iterator[Cause]:
    held = found.get("data") or {}
    size = 0
    for key, value in held.items():
        yield from faults.each(f"data[{key}]", key, names.config_key(key))
        size += len(value) * 3 // 4
    if size > SIZE_MAX:
        yield faults.too_long("data", SIZE_MAX)
    kind = found.get("type", "")
    for key in SECRET_KEYS.get(kind, ()):
        if key not in held:
            yield faults.required(f"data[{key}]")
    if kind in ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson"):
        key = SECRET_KEYS[kind][0]
        if key in held and not _is_json(held[key]):
            yield faults.invalid(f"data[{key}]", "<secret contents redacted>", "invalid character in JSON")
    if kind == "kubernetes.io/service-account-token":
        annotations = found["metadata"].get("annotations") or {}
        if not annotations.get("kubernetes.io/service-account.name"):
            yield faults.required("metadata.annotations[kubernetes.io/service-account.name]")
    if kind == "kubernetes.io/basic-auth" and not ("username" in held or "password" in held):
        yield faults.required("data[username]")
        yield faults.required("data[password]")


def _is_json(encoded: str) -> bool:
    try:
        msgspec.json.decode(base64.b64decode(encoded))
    except (msgspec.DecodeError, ValueError, UnicodeDecodeError):
        return False
    return True


def resource_quota(quota: Json) -> Iterator[Cause]:
    for name, value in ((quota.get("spec") or {}).get("hard") or {}).items():
        if quantity.parse(value) < 0:
            yield faults.invalid(f"spec.hard[{name}]", value, faults.NON_NEGATIVE)


def limit_range(found: Json) -> Iterator[Cause]:
    for index, item in enumerate((found.get("spec") or {}).get("limits") or ()):
        field = f"spec.limits[{index}]"
        least, most = item.get("min") or {}, item.get("max") or {}
        for name in least.keys() & most.keys():
            if quantity.compare(least[name], most[name]) > 0:
                detail = f"min value {least[name]} is greater than max value {most[name]}"
                yield faults.invalid(f"{field}.min[{name}]", least[name], detail)
        for kind in ("default", "defaultRequest"):
            if item.get("type") == "Pod" and item.get(kind):
                yield faults.forbidden(f"{field}.{kind}", "may not be specified when `type` is 'Pod'")
            for name, value in (item.get(kind) or {}).items():
                if name in most and quantity.compare(value, most[name]) > 0:
                    detail = f"{kind} value {value} is greater than max value {most[name]}"
                    yield faults.invalid(f"{field}.{kind}[{name}]", value, detail)


def node(found: Json) -> Iterator[Cause]:
    for index, taint in enumerate((found.get("spec") or {}).get("taints") or ()):
        field = f"spec.taints[{index}]"
        if taint.get("key"):
            yield from faults.each(f"{field}.key", taint["key"], names.qualified(taint["key"]))
        if taint.get("value"):
            yield from faults.each(f"{field}.value", taint["value"], names.label_value(taint["value"]))


def priority_class(found: Json) -> Iterator[Cause]:
    name, value = found["metadata"].get("name", ""), found.get("value", 0)
    if name.startswith("system-") and name not in ("system-node-critical", "system-cluster-critical"):
        detail = "priority class names with 'system-' prefix are reserved for system use only"
        yield faults.forbidden("metadata.name", detail)
    elif value > 1_000_000_000 and not name.startswith("system-"):
        yield faults.forbidden("value", "maximum allowed value of a user defined priority is 1000000000")
