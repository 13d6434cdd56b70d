"""Checks of references to a pod's own fields and resources (`fieldRef`, `resourceFieldRef`). Texts are upstream's."""

import re
from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.objects import faults, names, quantity

Json = dict[str, Any]
IN_VOLUMES: Final = frozenset(
    ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
)
IN_ENVIRONMENT: Final = frozenset(
    (
        "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
        "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
    )
)  # fmt: skip
KNOWN: Final = IN_VOLUMES | IN_ENVIRONMENT
"""Every path that upstream can convert; the rest is no field of a pod at all."""
RESOURCES: Final = frozenset(
    f"{side}.{name}" for side in ("limits", "requests") for name in ("cpu", "memory", "ephemeral-storage")
)
_CPU_DIVISORS: Final = ("1m", "1")
_BYTE_DIVISORS: Final = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_SUBSCRIPT = re.compile(r"(metadata\.(?:labels|annotations))\['(.*)'\]", re.DOTALL)


def of_object(reference: Json, field: str, allowed: frozenset[str]) -> Iterator[Cause]:
    """A reference to a field of the pod."""
    path = reference.get("fieldPath", "")
    if not reference.get("apiVersion"):
        yield faults.required(f"{field}.apiVersion")
    if not path:
        yield faults.required(f"{field}.fieldPath")
        return
    subscript = _SUBSCRIPT.fullmatch(path)
    if subscript is not None:
        yield from _subscript(subscript[1], subscript[2], field)
    elif path not in KNOWN:
        detail = f"error converting fieldPath: field label not supported: {path}"
        yield faults.invalid(f"{field}.fieldPath", path, detail)
    elif path not in allowed:
        yield faults.unsupported(f"{field}.fieldPath", path, allowed)


def _subscript(path: str, key: str, field: str) -> Iterator[Cause]:
    text = key.lower() if path == "metadata.annotations" else key
    yield from faults.each(field, key, names.qualified(text))


def of_resources(reference: Json, field: str, *, is_in_volume: bool = False) -> Iterator[Cause]:
    """A reference to a container's requests or limits."""
    resource = reference.get("resource", "")
    if is_in_volume and not reference.get("containerName"):
        yield faults.required(f"{field}.containerName")
    if not resource:
        yield faults.required(f"{field}.resource")
    elif resource not in RESOURCES and not resource.partition(".")[2].startswith("hugepages-"):
        yield faults.unsupported(f"{field}.resource", resource, RESOURCES)
    else:
        yield from _divisor(reference, resource.partition(".")[2], field)


def _divisor(reference: Json, name: str, field: str) -> Iterator[Cause]:
    divisor = reference.get("divisor", "0")
    if not quantity.parse(divisor):
        return
    listed = _CPU_DIVISORS if name == "cpu" else _BYTE_DIVISORS
    if quantity.canonical(divisor) not in listed:
        shown = "1m and 1" if name == "cpu" else ", ".join(listed)
        resource = name.replace("ephemeral-storage", "local ephemeral storage")
        detail = f"only divisor's values {shown} are supported with the {resource} resource"
        yield faults.invalid(f"{field}.divisor", divisor, detail)
