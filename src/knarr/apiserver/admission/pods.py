"""Priority and DefaultTolerationSeconds: what a pod gets from priority classes and for failing nodes.

A new pod, and one that is put in the place of another by a client that left them out.
"""

from typing import Final

import msgspec

from knarr.apiserver import status
from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json

CLASSES: Final = "/registry/priorityclasses/"
SECONDS: Final = 300
FAILING: Final = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def priority(context: RequestContext, obj: Json, old: Json | None) -> Json:
    """spec.priority and preemptionPolicy by the class. Raises Forbidden for an absent class."""
    if context.resource.stored.kind != "Pod":
        return obj
    if old is not None:
        return _kept(obj, old.get("spec") or {})
    spec = dict(obj.get("spec") or {})
    name = spec.get("priorityClassName")
    chosen = _class(context, name, obj) if name else _global_default(context)
    if chosen is None:
        value, policy = 0, "PreemptLowerPriority"
    else:
        value, policy = chosen.get("value", 0), chosen.get("preemptionPolicy") or "PreemptLowerPriority"
        spec["priorityClassName"] = chosen["metadata"]["name"]
    if spec.get("priority") not in (None, value):
        raise status.forbidden(
            "pods",
            obj["metadata"].get("name", ""),
            f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; priority admission "
            f"controller computed {value} from the given PriorityClass name",
        )
    spec["priority"] = value
    spec.setdefault("preemptionPolicy", policy)
    return {**obj, "spec": spec}


def _kept(obj: Json, before: Json) -> Json:
    """An update with what it leaves out of what the class gave; validation refuses another value."""
    spec = obj.get("spec") or {}
    left = {key: before[key] for key in ("priority", "preemptionPolicy") if key in before and key not in spec}
    return {**obj, "spec": {**spec, **left}} if left else obj


def _class(context: RequestContext, name: str, obj: Json) -> Json:
    entry = context.server.store.get(CLASSES + name)
    if entry is None:
        raise status.forbidden("pods", obj["metadata"].get("name", ""), f"no PriorityClass with name {name} was found")
    found: Json = msgspec.json.decode(entry.value)
    return found


def _global_default(context: RequestContext) -> Json | None:
    best: Json | None = None
    for entry in context.server.store.list(CLASSES).entries:
        if b'"globalDefault":true' in entry.value:
            found: Json = msgspec.json.decode(entry.value)
            if found.get("globalDefault") and (best is None or found.get("value", 0) < best.get("value", 0)):
                best = found
    return best


def tolerations(context: RequestContext, obj: Json, old: Json | None) -> Json:
    """Five minutes of tolerance for a node that is not ready or unreachable."""
    if context.resource.stored.kind != "Pod" or context.route.subresource:
        return obj
    spec = obj.get("spec") or {}
    given = spec.get("tolerations") or []
    added = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS}
        for key in FAILING
        if not any(_covers(each, key) for each in given)
    ]
    return {**obj, "spec": {**spec, "tolerations": [*given, *added]}} if added else obj


def _covers(toleration: Json, key: str) -> bool:
    return toleration.get("key") in (key, "", None) and toleration.get("effect") in ("NoExecute", "", None)
