"""RuntimeClass: a pod that names one gets its overhead, node selector and tolerations. Spec: "Runtime Class"."""

from typing import Final

import msgspec

from knarr.apiserver import status
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json
from knarr.base.errors import Forbidden
from knarr.objects import quantity

CLASSES: Final = "/registry/runtimeclasses/"


def runtime_class(context: RequestContext, obj: Json, old: Json | None) -> Json:
    """The pod with what its class adds. Raises Forbidden for an absent class, another overhead or selector."""
    if old is not None or context.resource.stored.kind != "Pod":
        return obj
    spec = obj.get("spec") or {}
    name = spec.get("runtimeClassName")
    if not name:
        if spec.get("overhead"):
            raise _rejected(obj, "Pod Overhead set without corresponding RuntimeClass defined Overhead")
        return obj
    entry = context.server.store.get(CLASSES + name)
    if entry is None:
        raise _rejected(obj, f'RuntimeClass "{name}" not found')
    found: Json = msgspec.json.decode(entry.value)
    return {**obj, "spec": _scheduled(obj, _with_overhead(obj, spec, found), found.get("scheduling") or {})}


def _rejected(obj: Json, why: str) -> Forbidden:
    return status.forbidden("pods", obj["metadata"].get("name", ""), f"pod rejected: {why}")


def _with_overhead(obj: Json, spec: Json, found: Json) -> Json:
    fixed = (found.get("overhead") or {}).get("podFixed") or {}
    given = spec.get("overhead") or {}
    if given and not _is_equal(given, fixed):
        raise _rejected(obj, "Pod's Overhead doesn't match RuntimeClass's defined Overhead")
    return {**spec, "overhead": fixed} if fixed else spec


def _is_equal(one: Json, other: Json) -> bool:
    return one.keys() == other.keys() and all(quantity.compare(one[key], other[key]) == 0 for key in one)


def _scheduled(obj: Json, spec: Json, scheduling: Json) -> Json:
    selector, given = scheduling.get("nodeSelector") or {}, spec.get("nodeSelector") or {}
    for key, value in selector.items():
        if given.get(key, value) != value:
            text = f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = "
            raise _rejected(obj, text + given[key])
    if selector:
        spec = {**spec, "nodeSelector": {**given, **selector}}
    held = spec.get("tolerations") or []
    added = [each for each in scheduling.get("tolerations") or () if each not in held]
    return {**spec, "tolerations": [*held, *added]} if added else spec
