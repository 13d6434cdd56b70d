"""Volume binder: gives each PersistentVolumeClaim a PersistentVolume that is there, and says in what phase both are.

A claim whose class waits for its first consumer gets only the volume that the scheduler reserved for it. Making volumes
is an external provisioner's, as is deleting them; which volume suits is kinds/volumes.py's.
Spec: "Persistent Volumes: Lifecycle of a volume and claim".
"""

from collections.abc import Sequence
from typing import Final

from knarr.base.clock import Instant
from knarr.client.client import Json
from knarr.client.view import View
from knarr.controllers.controller import Action, Controller, EventNote, Key, Patch, Plan
from knarr.kinds import volumes
from knarr.kinds.core_storage import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, STORAGECLASS
from knarr.kinds.lens.storage import PersistentVolume, PersistentVolumeClaim, StorageClass

NO_VOLUME: Final = "no persistent volumes available for this claim and no storage class is set"
WAITING: Final = "waiting for first consumer to be created before binding"


def plan_claim(claim: PersistentVolumeClaim, view: View, _: Instant) -> Plan:
    """Bind the claim, or say what it waits for."""
    if claim.metadata.deletion_timestamp is not None:
        return Plan()
    if not claim.spec.volume_name:
        return _searching(claim, view)
    volume = view.get(PersistentVolume, "", claim.spec.volume_name)
    if volume is None or (volume.spec.claim_ref is not None and not volumes.is_for(volume, claim)):
        return _without_volume(claim, is_there=volume is not None)
    if volumes.BIND_COMPLETED not in claim.metadata.annotations or volume.spec.claim_ref is None:
        return Plan(_binding(claim, volume))
    if claim.status.phase == "Bound":
        return Plan()
    return Plan(
        status={
            "phase": "Bound",
            "accessModes": list(volume.spec.access_modes),
            "capacity": dict(volume.spec.capacity),
        }
    )


def _searching(claim: PersistentVolumeClaim, view: View) -> Plan:
    storage_class = view.get(StorageClass, "", volumes.class_name(claim))
    found = volumes.best_volume(claim, view.list(PersistentVolume))
    waits = volumes.waits_for_consumer(storage_class) and volumes.SELECTED_NODE not in claim.metadata.annotations
    if found is not None and (volumes.is_for(found, claim) or not waits):
        return Plan(_binding(claim, found))
    status = None if claim.status.phase else {"phase": "Pending"}
    if waits:
        return Plan(status=status, events=[EventNote("Normal", "WaitForFirstConsumer", WAITING)], why=WAITING)
    name = volumes.class_name(claim)
    if not name:
        return Plan(status=status, events=[EventNote("Normal", "FailedBinding", NO_VOLUME)], why=NO_VOLUME)
    if storage_class is None or storage_class.provisioner in ("", volumes.NO_PROVISIONER):
        why = f'storageclass.storage.k8s.io "{name}" not found'
        if storage_class is not None:
            why = f"no volume plugin matched name: {volumes.NO_PROVISIONER}"
        return Plan(status=status, events=[EventNote("Warning", "ProvisioningFailed", why)], why=why)
    why = (
        f"Waiting for a volume to be created either by the external provisioner '{storage_class.provisioner}' or "
        "manually by the system administrator. If volume creation is delayed, please verify that the provisioner is "
        "running and correctly registered."
    )
    return Plan(status=status, events=[EventNote("Normal", "ExternalProvisioning", why)], why=why)


def _binding(claim: PersistentVolumeClaim, volume: PersistentVolume) -> Sequence[Action]:
    """First the volume's side: who finds both bound to each other may go on after a crash."""
    meta, actions = claim.metadata, list[Action]()
    reference = volume.spec.claim_ref
    if reference is None or not reference.uid:
        ours: Json = {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "namespace": meta.namespace,
            "name": meta.name,
            "uid": meta.uid,
        }
        body = {
            "metadata": {
                "resourceVersion": volume.metadata.resource_version,
                "annotations": {volumes.BOUND_BY_CONTROLLER: "yes"} if reference is None else {},
            },
            "spec": {"claimRef": ours},
        }
        actions.append(Patch(PERSISTENTVOLUME, "", volume.metadata.name, body))
    annotations = {volumes.BIND_COMPLETED: "yes"}
    if not claim.spec.volume_name:
        annotations[volumes.BOUND_BY_CONTROLLER] = "yes"
    change = {
        "metadata": {"uid": meta.uid, "annotations": annotations},
        "spec": {"volumeName": volume.metadata.name},
    }
    actions.append(Patch(PERSISTENTVOLUMECLAIM, meta.namespace, meta.name, change))
    return actions


def _without_volume(claim: PersistentVolumeClaim, *, is_there: bool) -> Plan:
    if claim.status.phase not in ("Bound", "Lost"):
        return Plan(why=f"volume {claim.spec.volume_name} is " + ("another claim's" if is_there else "not there"))
    if claim.status.phase == "Lost":
        return Plan()
    reason, message = "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
    if is_there:
        reason, message = "ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly"
    return Plan(status={"phase": "Lost"}, events=[EventNote("Warning", reason, message)])


def plan_volume(volume: PersistentVolume, view: View, _: Instant) -> Plan:
    """The volume's phase."""
    phase = _phase(volume, view)
    return Plan(status=None if phase == volume.status.phase else {"phase": phase})


def _phase(volume: PersistentVolume, view: View) -> str:
    reference = volume.spec.claim_ref
    if reference is None:
        return "Available"
    claim = view.get(PersistentVolumeClaim, reference.namespace, reference.name)
    if claim is not None and reference.uid in ("", claim.metadata.uid):
        return "Bound" if claim.spec.volume_name == volume.metadata.name else "Available"
    return "Released" if reference.uid else "Available"


def unbound_claims(_: object, view: View) -> Sequence[Key]:
    """The claims that a new or changed volume or class may help."""
    claims = view.list(PersistentVolumeClaim)
    return [(one.metadata.namespace, one.metadata.name) for one in claims if one.status.phase != "Bound"]


def claims_of(volume: PersistentVolume, view: View) -> Sequence[Key]:
    """The claim that the volume is reserved for, and all that have none."""
    reference = volume.spec.claim_ref
    own = [(reference.namespace, reference.name)] if reference is not None else []
    return [*own, *unbound_claims(volume, view)]


def volumes_of(claim: PersistentVolumeClaim, view: View) -> Sequence[Key]:
    """The volumes that the claim has or that are reserved for it."""
    found = {claim.spec.volume_name} - {""}
    for volume in view.list(PersistentVolume):
        reference = volume.spec.claim_ref
        if reference is not None and (reference.namespace, reference.name) == (
            claim.metadata.namespace,
            claim.metadata.name,
        ):
            found.add(volume.metadata.name)
    return [("", name) for name in sorted(found)]


CLAIMS: Final = Controller(
    "persistentvolume-controller",
    kind=PERSISTENTVOLUMECLAIM,
    plan=plan_claim,
    watches={PERSISTENTVOLUME: claims_of, STORAGECLASS: unbound_claims},
    writes=(PERSISTENTVOLUMECLAIM, PERSISTENTVOLUME),
)
VOLUMES: Final = Controller(
    "persistentvolume-phase",
    kind=PERSISTENTVOLUME,
    plan=plan_volume,
    watches={PERSISTENTVOLUMECLAIM: volumes_of},
    writes=(PERSISTENTVOLUME,),
)
