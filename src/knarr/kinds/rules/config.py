"""Cross-field checks of ConfigMap, Secret and PriorityClass. Texts are upstream's."""

import base64
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from knarr.base.errors import Cause
from knarr.objects import faults, names
from knarr.wire import strict_json

Json = dict[str, Any]
SIZE_MAX: Final = 1024 * 1024
PRIORITY_MAX: Final = 1_000_000_000
SYSTEM_PRIORITIES: Final = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
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
        if details := names.config_key(key):
            yield from faults.each(f"data[{key}]", key, details)
        if key in binaries:
            yield faults.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
        size += len(value) if value.isascii() else len(value.encode())
    for key, value in binaries.items():
        yield from faults.each(f"binaryData[{key}]", key, names.config_key(key))
        size += len(value) * 3 // 4
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
        if key not in held or (kind == "kubernetes.io/ssh-auth" and not held[key]):
            yield faults.required(f"data[{key}]")
    if kind in ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson"):
        key = SECRET_KEYS[kind][0]
        fault = _json_fault(held[key]) if key in held else ""
        if fault:
            yield faults.invalid(f"data[{key}]", "<secret contents redacted>", fault)
    if kind == "kubernetes.io/service-account-token":
        annotations = found["metadata"].get("annotations") or {}
        if not annotations.get("kubernetes.io/service-account.name"):
            yield faults.required("metadata.annotations[kubernetes.io/service-account.name]")
    if kind == "kubernetes.io/basic-auth" and not ("username" in held or "password" in held):
        yield faults.required("data[username]")
        yield faults.required("data[password]")


def _json_fault(encoded: str) -> str:
    """Why the bytes are no JSON object; "" if they are one."""
    try:
        msgspec.json.decode(base64.b64decode(encoded), type=dict[str, Any] | None)
    except msgspec.ValidationError:
        return "json: cannot unmarshal into Go value of type map[string]interface {}"
    except (ValueError, *strict_json.UNREADABLE):
        # The bytes are secret: the place that Go names would tell of them.
        return "unexpected end of JSON input" if not encoded else "invalid character in JSON"
    return ""


def priority_class(found: Json) -> Iterator[Cause]:
    name, value = found["metadata"].get("name", ""), found.get("value", 0)
    if name.startswith("system-"):
        fault = _system_fault(found, name)
        if fault:
            detail = "priority class names with 'system-' prefix are reserved for system use only. error: "
            yield faults.forbidden("metadata.name", detail + fault)
    elif value > PRIORITY_MAX:
        yield faults.forbidden("value", f"maximum allowed value of a user defined priority is {PRIORITY_MAX}")


def _system_fault(found: Json, name: str) -> str:
    """Why the class is none of the system's own; "" if it is one."""
    if name not in SYSTEM_PRIORITIES:
        return f"{name} is not a known system priority class"
    if found.get("value", 0) != SYSTEM_PRIORITIES[name]:
        return f"value of {name} PriorityClass must be {SYSTEM_PRIORITIES[name]}"
    if found.get("globalDefault"):
        return f"globalDefault of {name} PriorityClass must be false"
    return ""
