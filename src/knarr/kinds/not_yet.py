"""What is stored and does nothing yet: kinds that knarr takes as the specification has them, before it acts on them.

Said twice: to who creates one, in a Warning header (apiserver/admission/warn.py), and to who asks why nothing happens
(diagnosis/not_yet.py). A row goes when its part is there. Not here: what is refused with an error; kinds that are not
served yet (registry.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NotYet:
    """What knarr does not do, and what helps until then."""

    lack: str
    instead: str


# Kind → what is said of each object of it.
_ROWS: Final[Mapping[str, NotYet]] = {
    "Service": NotYet(
        "knarr does not route Services yet: nothing answers at this Service's address, node port or name",
        "reach its pods by their own addresses (kubectl get pods -o wide), or by kubectl port-forward service/NAME",
    ),
    "PersistentVolumeClaim": NotYet(
        "knarr does not mount PersistentVolumes yet: a pod that uses this claim does not start",
        "use an emptyDir or a hostPath volume in the pod",
    ),
    "NetworkPolicy": NotYet(
        "knarr does not enforce NetworkPolicies yet: this one is stored and keeps nothing out",
        "rely on no NetworkPolicy here",
    ),
    "HorizontalPodAutoscaler": NotYet(
        "knarr has no autoscaler yet: this one is stored and scales nothing",
        "scale by hand: kubectl scale",
    ),
}


def of(kind: str, obj: Json) -> NotYet | None:
    """What this object does not do yet; None for one that does all that its kind says."""
    row = _ROWS.get(kind)
    if row is not None and kind == "Service":
        spec = obj.get("spec") or {}
        lack = "knarr has no cluster DNS yet: this Service's name does not resolve"
        if spec.get("type") == "ExternalName":
            return NotYet(lack, "use its spec.externalName itself")
        if spec.get("clusterIP") == "None":
            return NotYet(lack, row.instead)
    return row
