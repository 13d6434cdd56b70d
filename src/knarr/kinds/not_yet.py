"""What is stored and does nothing yet: kinds that knarr takes as the specification has them, before it acts on them.

Said twice: to who creates one, in a Warning header (warnings.py), and to who asks why nothing happens
(diagnosis/not_yet.py). A row goes when its part is there. Not here: what is refused with an error.
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


_POLICY: Final = NotYet(
    "knarr does not evaluate admission policies yet: this object is stored and decides nothing",
    "RBAC, ResourceQuota, LimitRange and Pod Security labels are enforced",
)
_WEBHOOK: Final = NotYet(
    "knarr does not call admission webhooks yet: this object is stored and decides nothing",
    "RBAC, ResourceQuota, LimitRange and Pod Security labels are enforced",
)
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
    "CustomResourceDefinition": NotYet(
        "knarr does not serve custom resources yet: this definition is stored, objects of its kind are not known",
        "kubectl api-resources lists the kinds that are served",
    ),
    "APIService": NotYet(
        "knarr does not aggregate APIs yet: this one is stored and leads nowhere",
        "kubectl api-versions lists what is served",
    ),
    "ValidatingAdmissionPolicy": _POLICY,
    "ValidatingAdmissionPolicyBinding": _POLICY,
    "MutatingAdmissionPolicy": _POLICY,
    "MutatingAdmissionPolicyBinding": _POLICY,
    "ValidatingWebhookConfiguration": _WEBHOOK,
    "MutatingWebhookConfiguration": _WEBHOOK,
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
