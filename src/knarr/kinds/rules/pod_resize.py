"""What the resize of a pod may change: cpu and memory, its own and its containers', never its quality of service.

Texts are upstream's. Spec: "Resize CPU and Memory Resources assigned to Containers".
"""

from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds import quality
from knarr.kinds.rules.pod_annotations import MIRROR
from knarr.objects import faults

Json = dict[str, Any]
COMPUTE: Final = ("cpu", "memory")


def resize(new: Json, old: Json) -> Iterator[Cause]:
    given, held = new.get("spec") or {}, old.get("spec") or {}
    if MIRROR in (old["metadata"].get("annotations") or {}):
        yield faults.forbidden("", "static pods cannot be resized")
        return
    if (held.get("os") or {}).get("name") == "windows":
        yield faults.forbidden("", "windows pods cannot be resized")
        return
    if quality.of_pod(given) != quality.of_pod(held):
        quality_now = (new.get("status") or {}).get("qosClass", "")
        yield faults.invalid("spec", quality_now, "Pod QOS Class may not change as a result of resizing")
    yield from _removed(given, held, "spec.resources")
    if _rest(given) != _rest(held):
        yield faults.forbidden("spec", "only cpu and memory resources are mutable")
    pairs = zip(given.get("containers") or (), held.get("containers") or (), strict=False)
    for index, (now, was) in enumerate(pairs):
        yield from _removed(now, was, f"spec.containers[{index}].resources")
        if _rest(now) != _rest(was):
            yield faults.forbidden("spec", "only cpu and memory resources are mutable")
    pairs = zip(given.get("initContainers") or (), held.get("initContainers") or (), strict=False)
    for index, (now, was) in enumerate(pairs):
        if was.get("restartPolicy") == "Always":
            yield from _removed(now, was, f"spec.initContainers[{index}].resources")
            if _rest(now) != _rest(was):
                yield faults.forbidden("spec", "only cpu and memory resources for sidecar containers are mutable")
        elif now.get("resources") != was.get("resources"):
            yield faults.forbidden("spec", "resources for non-sidecar init containers are immutable")


def _removed(now: Json, was: Json, field: str) -> Iterator[Cause]:
    for side in ("requests", "limits"):
        given, held = ((each.get("resources") or {}).get(side) or {} for each in (now, was))
        if held.keys() - given.keys():
            yield faults.forbidden(f"{field}.{side}", f"resource {side} cannot be removed")


def _rest(container: Json) -> Json:
    """What a resize leaves alone of a container's resources."""
    resources = container.get("resources") or {}
    sides = {
        side: {name: amount for name, amount in (resources.get(side) or {}).items() if name not in COMPUTE}
        for side in ("requests", "limits")
    }
    return {"claims": resources.get("claims") or [], **sides}
