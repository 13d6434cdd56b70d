"""VolumeBinding: are the PersistentVolumeClaims that the pod names there and bound?

Asked once per pod, not per node: a claim that is missing or waits for its volume holds the pod everywhere. Binding a
claim only once its first consumer is placed is not done here. Spec: "Persistent Volumes".
"""

from knarr.kinds.lens.pod import Pod
from knarr.scheduler.claims import Claim, Claims

UNBOUND = "pod has unbound immediate PersistentVolumeClaims"


def refusal(pod: Pod, claims: Claims) -> str:
    """Why the pod may go nowhere; "" when its claims are in order."""
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is not None:
            name = volume.persistent_volume_claim.claim_name
            reason = _fault(name, claims.get((pod.metadata.namespace, name)))
            if reason:
                return reason
    return ""


def _fault(name: str, claim: Claim | None) -> str:
    if claim is None:
        return f'persistentvolumeclaim "{name}" not found'
    if claim.metadata.deletion_timestamp is not None:
        return f'persistentvolumeclaim "{name}" is being deleted'
    if claim.status.phase == "Lost":
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{claim.spec.volume_name}"'
    return "" if claim.spec.volume_name and claim.status.phase == "Bound" else UNBOUND
