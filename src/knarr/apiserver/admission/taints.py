"""TaintNodesByCondition: a new node takes no pods until the node controller has seen that it is ready."""

from typing import Final

from knarr.apiserver.context import RequestContext
from knarr.apiserver.resources import Json

NOT_READY: Final = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


def not_ready(context: RequestContext, obj: Json, old: Json | None) -> Json:
    """The taint of a new node, where a controller is there to take it away."""
    if old is not None or not context.server.taints_new_nodes or context.resource.stored.kind != "Node":
        return obj
    spec = obj.get("spec") or {}
    held = spec.get("taints") or []
    if any((each.get("key"), each.get("effect")) == (NOT_READY["key"], NOT_READY["effect"]) for each in held):
        return obj
    return {**obj, "spec": {**spec, "taints": [*held, NOT_READY]}}
