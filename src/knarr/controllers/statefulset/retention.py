"""persistentVolumeClaimRetentionPolicy: which claims go with the set or with a pod that is scaled away. Pure.

A claim that shall go is owned by what it goes with (the garbage collector does the rest); one that shall stay is owned
by neither. A claim that another controller owns is left alone. Spec: "StatefulSet: PersistentVolumeClaim retention".
"""

from collections.abc import Sequence

import msgspec

from knarr.client.client import Json
from knarr.client.view import View
from knarr.controllers import claims
from knarr.controllers.controller import Action, Patch
from knarr.controllers.statefulset import identity
from knarr.kinds.apps import STATEFULSET
from knarr.kinds.core_pod import POD
from knarr.kinds.core_storage import PERSISTENTVOLUMECLAIM
from knarr.kinds.lens.meta import ObjectMeta, OwnerReference
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.sets import StatefulSet
from knarr.kinds.lens.storage import PersistentVolumeClaim


def claims_of(stateful_set: StatefulSet, pod_name: str, templates: Sequence[Json], view: View) -> Sequence[ObjectMeta]:
    """The metadata of the claims of one pod that exist."""
    namespace = stateful_set.metadata.namespace
    names = [identity.claim_name(template, pod_name) for template in templates]
    found = [view.get(PersistentVolumeClaim, namespace, name) for name in names]
    return [one.metadata for one in found if one is not None]


def actions(
    stateful_set: StatefulSet, pod: Pod, templates: Sequence[Json], view: View, *, is_condemned: bool
) -> Sequence[Action]:
    """What gives the claims of a pod their owner; `is_condemned` if the pod is being scaled away."""
    owner = owner_of_claims(stateful_set, pod, is_condemned=is_condemned)
    found: list[Action] = []
    for meta in claims_of(stateful_set, pod.metadata.name, templates, view):
        controller = claims.controller_of(meta)
        ours = (stateful_set.metadata.uid, pod.metadata.uid)
        if meta.deletion_timestamp is not None or (controller is not None and controller.uid not in ours):
            continue
        kept = [_encoded(one) for one in meta.owner_references if one.uid not in ours]
        wanted = [*kept, *([owner] if owner else [])]
        if [_encoded(one) for one in meta.owner_references] != wanted:
            guards = {"uid": meta.uid, "resourceVersion": meta.resource_version}
            body = {"metadata": {"ownerReferences": wanted or None, **guards}}
            found.append(Patch(PERSISTENTVOLUMECLAIM, meta.namespace, meta.name, body, tolerate_absent=True))
    return found


def owner_of_claims(stateful_set: StatefulSet, pod: Pod, *, is_condemned: bool) -> Json | None:
    """The pod that goes with a smaller size, or the set, or nobody."""
    policy = stateful_set.spec.persistent_volume_claim_retention_policy
    if policy is None:
        return None
    if is_condemned and policy.when_scaled == "Delete":
        return claims.controller_reference(POD, pod.metadata)
    # Of a condemned pod whose claim stays at scaling, the set's end still takes it.
    return claims.controller_reference(STATEFULSET, stateful_set.metadata) if policy.when_deleted == "Delete" else None


def are_leaving(stateful_set: StatefulSet, pod_name: str, templates: Sequence[Json], view: View) -> bool:
    """Whether claims of a pod that does not exist are still going with its predecessor: the new pod waits for that."""
    return any(
        meta.deletion_timestamp is not None or any(one.kind == POD.kind for one in meta.owner_references)
        for meta in claims_of(stateful_set, pod_name, templates, view)
    )


def _encoded(reference: OwnerReference) -> Json:
    plain: Json = msgspec.to_builtins(reference)
    return {key: value for key, value in plain.items() if value is not None}
