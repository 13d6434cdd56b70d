"""Protection of storage in use: a claim that a pod uses, and a volume that is bound, are not removed before that ends.

Both carry a finalizer (admission gives it at creation, these controllers to what came without); deletion waits until
they take it away. Spec: "Persistent Volumes: Storage Object in Use Protection".
"""

from collections.abc import Sequence
from typing import Final

from knarr.base.clock import Instant
from knarr.client.view import View
from knarr.controllers.controller import Action, Controller, Key, Patch, Plan
from knarr.kinds import volumes
from knarr.kinds.core_pod import POD
from knarr.kinds.core_storage import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM
from knarr.kinds.lens.meta import ObjectMeta
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.storage import PersistentVolume, PersistentVolumeClaim
from knarr.kinds.registry import Kind

CLAIM_FINALIZER: Final = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER: Final = "kubernetes.io/pv-protection"


def plan_claim(claim: PersistentVolumeClaim, view: View, _now: Instant) -> Plan:
    """Hold a claim while a pod that has not ended names it."""
    meta = claim.metadata
    is_held = CLAIM_FINALIZER in meta.finalizers
    if meta.deletion_timestamp is None:
        wanted = (*meta.finalizers, CLAIM_FINALIZER)
        return Plan() if is_held else Plan([finalizers(PERSISTENTVOLUMECLAIM, meta, wanted)])
    users = [pod.metadata.name for pod in view.list(Pod, meta.namespace) if uses(pod, meta.name)]
    if not is_held or users:
        return Plan(why=f"used by {', '.join(users)}" if users else "")
    wanted = tuple(name for name in meta.finalizers if name != CLAIM_FINALIZER)
    return Plan([finalizers(PERSISTENTVOLUMECLAIM, meta, wanted)])


def plan_volume(volume: PersistentVolume, _view: View, _now: Instant) -> Plan:
    """Hold a volume while it is bound to a claim."""
    meta = volume.metadata
    is_held = VOLUME_FINALIZER in meta.finalizers
    if meta.deletion_timestamp is None:
        wanted = (*meta.finalizers, VOLUME_FINALIZER)
        return Plan() if is_held else Plan([finalizers(PERSISTENTVOLUME, meta, wanted)])
    if not is_held or volume.status.phase == "Bound":
        return Plan(why="bound to a claim" if is_held else "")
    return Plan([finalizers(PERSISTENTVOLUME, meta, tuple(one for one in meta.finalizers if one != VOLUME_FINALIZER))])


def finalizers(kind: Kind, meta: ObjectMeta, wanted: Sequence[str]) -> Action:
    guards = {"uid": meta.uid, "resourceVersion": meta.resource_version}
    body = {"metadata": {"finalizers": list(wanted) or None, **guards}}
    return Patch(kind, meta.namespace, meta.name, body, tolerate_absent=True)


def uses(pod: Pod, claim_name: str) -> bool:
    """Whether a pod that may still run names the claim."""
    return pod.status.phase not in ("Succeeded", "Failed") and claim_name in volumes.claim_names(pod)


def pod_keys(pod: Pod, view: View) -> Sequence[Key]:
    """The claims of a pod that wait for it."""
    namespace = pod.metadata.namespace
    found = [(name, view.get(PersistentVolumeClaim, namespace, name)) for name in volumes.claim_names(pod)]
    return [(namespace, name) for name, one in found if one is not None and one.metadata.deletion_timestamp is not None]


CLAIMS = Controller(
    "pvc-protection-controller",
    kind=PERSISTENTVOLUMECLAIM,
    plan=plan_claim,
    watches={POD: pod_keys},
    writes=(PERSISTENTVOLUMECLAIM,),
)
VOLUMES = Controller("pv-protection-controller", kind=PERSISTENTVOLUME, plan=plan_volume, writes=(PERSISTENTVOLUME,))
