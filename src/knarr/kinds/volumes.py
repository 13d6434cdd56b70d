"""Claims and volumes: which PersistentVolume suits a PersistentVolumeClaim, and on which nodes. Pure, over lenses.

The scheduler (claims that wait for their first consumer) and the volume binder (all others) ask the same questions.
Spec: "Persistent Volumes: Binding", "Storage Classes: Volume binding mode", "Node affinity".
"""

from collections.abc import Collection, Iterable
from fractions import Fraction
from typing import Final

import msgspec

from knarr.kinds.lens.node import Node
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.storage import PersistentVolume, PersistentVolumeClaim, StorageClass
from knarr.kinds.nodes import matches
from knarr.objects import labels, quantity

SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
"""The annotation by which the scheduler asks for a volume near that node."""
BIND_COMPLETED: Final = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER: Final = "pv.kubernetes.io/bound-by-controller"
CLASS_OF_OLD: Final = "volume.beta.kubernetes.io/storage-class"
NO_PROVISIONER: Final = "kubernetes.io/no-provisioner"
WAIT_FOR_FIRST_CONSUMER: Final = "WaitForFirstConsumer"


def class_name(claim: PersistentVolumeClaim) -> str:
    """ "" is no class: only volumes without one suit."""
    old = claim.metadata.annotations.get(CLASS_OF_OLD)
    return old if old is not None else claim.spec.storage_class_name or ""


def waits_for_consumer(storage_class: StorageClass | None) -> bool:
    return storage_class is not None and storage_class.volume_binding_mode == WAIT_FOR_FIRST_CONSUMER


def is_bound(claim: PersistentVolumeClaim) -> bool:
    """The claim has its volume, and both sides know."""
    is_completed = BIND_COMPLETED in claim.metadata.annotations or claim.status.phase == "Bound"
    return bool(claim.spec.volume_name) and is_completed


def is_for(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """Whether the volume is reserved for exactly this claim; a reference without uid waits for whoever has the name."""
    reference = volume.spec.claim_ref
    if reference is None:
        return False
    meta = claim.metadata
    return (reference.namespace, reference.name) == (meta.namespace, meta.name) and reference.uid in ("", meta.uid)


def best_volume(
    claim: PersistentVolumeClaim,
    volumes: Iterable[PersistentVolume],
    *,
    node: Node | None = None,
    taken: Collection[str] = (),
) -> PersistentVolume | None:
    """The volume reserved for the claim, else the smallest that suits it (and can be used on the node). `taken` are
    names of volumes promised to other claims."""
    fitting = [each for each in volumes if each.metadata.name not in taken and _suits(claim, each)]
    if node is not None:
        fitting = [each for each in fitting if is_usable_on(each, node)]
    return min(fitting, key=lambda each: (not is_for(each, claim), _size(each), each.metadata.name), default=None)


def is_usable_on(volume: PersistentVolume, node: Node) -> bool:
    """The volume's own node affinity."""
    affinity = volume.spec.node_affinity
    if affinity is None or affinity.required is None:
        return True
    return any(matches(term, node) for term in affinity.required.node_selector_terms)


def may_be_made_for(storage_class: StorageClass, node: Node) -> bool:
    """Whether a provisioner can make a volume near the node."""
    if storage_class.provisioner in ("", NO_PROVISIONER):
        return False
    if not storage_class.allowed_topologies:
        return True
    return any(
        all(node.metadata.labels.get(each.key) in each.values for each in term.match_label_expressions)
        for term in storage_class.allowed_topologies
    )


def _suits(claim: PersistentVolumeClaim, volume: PersistentVolume) -> bool:
    spec, asked = volume.spec, claim.spec
    if (asked.volume_mode or "Filesystem") != (spec.volume_mode or "Filesystem"):
        return False
    if volume.metadata.deletion_timestamp is not None:
        return False
    if asked.volume_name and asked.volume_name != volume.metadata.name:
        return False
    if spec.claim_ref is not None:
        return is_for(volume, claim) and _size(volume) >= _asked(claim)
    return (
        volume.status.phase in ("", "Pending", "Available")
        and spec.storage_class_name == class_name(claim)
        and set(asked.access_modes) <= set(spec.access_modes)
        and _size(volume) >= _asked(claim)
        and (asked.selector is None or _chosen(claim, volume))
    )


def _chosen(claim: PersistentVolumeClaim, volume: PersistentVolume) -> bool:
    return labels.of(msgspec.to_builtins(claim.spec.selector)).matches(volume.metadata.labels)


def _size(volume: PersistentVolume) -> Fraction:
    return quantity.parse(volume.spec.capacity.get("storage", "0"))


def _asked(claim: PersistentVolumeClaim) -> Fraction:
    return quantity.parse(claim.spec.resources.requests.get("storage", "0"))


def claim_names(pod: Pod) -> list[str]:
    """The claims in a pod's volumes; of an ephemeral volume the one that is made for it."""
    found = []
    for volume in pod.spec.volumes:
        if volume.persistent_volume_claim is not None:
            found.append(volume.persistent_volume_claim.claim_name)
        elif volume.ephemeral is not None:
            found.append(ephemeral_claim_name(pod, volume.name))
    return found


def ephemeral_claim_name(pod: Pod, volume_name: str) -> str:
    return f"{pod.metadata.name}-{volume_name}"


def ephemeral_claim_names(pod: Pod) -> list[str]:
    """The claims that are made for the pod itself."""
    return [ephemeral_claim_name(pod, volume.name) for volume in pod.spec.volumes if volume.ephemeral is not None]


def not_owned(pod: Pod, claim_name: str) -> str:
    """What is said of a claim that has an ephemeral volume's name and another owner."""
    namespace = pod.metadata.namespace
    return f"PVC {namespace}/{claim_name} was not created for pod {namespace}/{pod.metadata.name} (pod is not owner)"
