"""VolumeBinding, VolumeZone, VolumeRestrictions, NodeVolumeLimits: may the pod's claims be used on the node?

`refusal` is asked once per pod: a claim that is missing or waits for nobody's choice holds the pod back everywhere.
`prepare` gives the filter per node. Spec: "Persistent Volumes", "Node-specific Volume Limits".
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from knarr.kinds import volumes as kinds
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.storage import PersistentVolume, PersistentVolumeClaim
from knarr.scheduler.asking import Asking
from knarr.scheduler.node_state import NodeState
from knarr.scheduler.snapshot import World
from knarr.scheduler.volumes import Volumes

UNBOUND: Final = "pod has unbound immediate PersistentVolumeClaims"
NODE_CONFLICT: Final = "node(s) had volume node affinity conflict"
NOTHING_TO_BIND: Final = "node(s) didn't find available persistent volumes to bind"
NO_VOLUME: Final = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
ZONE_CONFLICT: Final = "node(s) had no available volume zone"
ONE_POD: Final = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
TOO_MANY: Final = "node(s) exceed max volume count"
UNRESOLVABLE: Final = frozenset({NODE_CONFLICT, NOTHING_TO_BIND, NO_VOLUME, ZONE_CONFLICT})
"""No leaving of another pod helps against these."""
ZONES: Final = (
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
)
"""Labels of a volume that its node must have too; several values are joined by `__`."""


def refusal(asking: Asking, volumes: Volumes) -> str:
    """Why the pod may go nowhere; "" when its claims are in order."""
    if "VolumeBinding" not in asking.profile.filters:
        return ""
    named = zip(kinds.claim_names(asking.pod), volumes.of(asking.pod), strict=True)
    faults = [_not_made(asking.pod, name, claim) or _fault(name, claim, volumes) for name, claim in named]
    return next((fault for fault in faults if fault and fault != UNBOUND), "") or next(filter(None, faults), "")


def _not_made(pod: Pod, name: str, claim: PersistentVolumeClaim | None) -> str:
    """What is wrong with a claim that is made for an ephemeral volume."""
    if name not in kinds.ephemeral_claim_names(pod):
        return ""
    if claim is None:
        return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
    owners = claim.metadata.owner_references
    is_owner = any(one.controller and one.uid == pod.metadata.uid for one in owners)
    return "" if is_owner else kinds.not_owned(pod, name)


def _fault(name: str, claim: PersistentVolumeClaim | None, volumes: Volumes) -> str:
    if claim is None:
        return f'persistentvolumeclaim "{name}" not found'
    if claim.metadata.deletion_timestamp is not None:
        return f'persistentvolumeclaim "{name}" is being deleted'
    if claim.status.phase == "Lost":
        return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{claim.spec.volume_name}"'
    if kinds.is_bound(claim):
        return ""
    waits = not claim.spec.volume_name and kinds.waits_for_consumer(volumes.class_of(claim))
    return "" if waits else UNBOUND


def prepare(asking: Asking, world: World) -> Callable[[NodeState], Sequence[str]] | None:
    """The filter for one pod, or None when it names no claim."""
    if not asking.has_claims:
        return None
    volumes, filters = world.volumes, asking.profile.filters
    rows: tuple[tuple[str, Callable[[Asking, Volumes, NodeState], str]], ...] = (
        ("VolumeRestrictions", _restricted),
        ("NodeVolumeLimits", _over_limit),
        ("VolumeBinding", _unbindable),
        ("VolumeZone", _other_zone),
    )
    chosen = [refuse for name, refuse in rows if name in filters]

    def refusals(state: NodeState) -> Sequence[str]:
        reason = next(filter(None, (refuse(asking, volumes, state) for refuse in chosen)), "")
        return [reason] if reason else ()

    return refusals


def _bound(asking: Asking, volumes: Volumes) -> Iterator[tuple[PersistentVolumeClaim, PersistentVolume | None]]:
    for claim in volumes.of(asking.pod):
        if claim is not None and kinds.is_bound(claim):
            yield claim, volumes.volumes.get(claim.spec.volume_name)


def _unbindable(asking: Asking, volumes: Volumes, state: NodeState) -> str:
    for _, volume in _bound(asking, volumes):
        if volume is None:
            return NO_VOLUME
        if not kinds.is_usable_on(volume, state.node):
            return NODE_CONFLICT
    return NOTHING_TO_BIND if volumes.promises(asking.pod, state.node) is None else ""


def _other_zone(asking: Asking, volumes: Volumes, state: NodeState) -> str:
    labels = state.node.metadata.labels
    for _, volume in _bound(asking, volumes):
        own = volume.metadata.labels if volume is not None else {}
        if any(key in own and labels.get(key) not in own[key].split("__") for key in ZONES):
            return ZONE_CONFLICT
    return ""


def _restricted(asking: Asking, volumes: Volumes, state: NodeState) -> str:
    namespace = asking.pod.metadata.namespace
    names = {
        claim.metadata.name
        for claim in volumes.of(asking.pod)
        if claim is not None and "ReadWriteOncePod" in claim.spec.access_modes
    }
    if not names:
        return ""
    others = (pod for pod in state.pods.values() if pod.spec.volumes and pod.metadata.namespace == namespace)
    return ONE_POD if any(not names.isdisjoint(kinds.claim_names(pod)) for pod in others) else ""


def _over_limit(asking: Asking, volumes: Volumes, state: NodeState) -> str:
    drivers = volumes.drivers.get(state.name)
    if drivers is None:
        return ""
    limits = {
        driver.name: driver.allocatable.count
        for driver in drivers.spec.drivers
        if driver.allocatable is not None and driver.allocatable.count is not None
    }
    wanted = _handles(volumes, volumes.of(asking.pod)) if limits else set()
    if not wanted:
        return ""
    there: set[tuple[str, str]] = set()
    for pod in state.pods.values():
        there |= _handles(volumes, volumes.of(pod))
    for driver in {driver for driver, _ in wanted - there} & limits.keys():
        if sum(name == driver for name, _ in there | wanted) > limits[driver]:
            return TOO_MANY
    return ""


def _handles(volumes: Volumes, claims: Sequence[PersistentVolumeClaim | None]) -> set[tuple[str, str]]:
    """(driver, volume) of the claims' CSI volumes; a volume that is still to be made counts by its claim."""
    found = set()
    for claim in claims:
        if claim is None:
            continue
        volume = volumes.volumes.get(claim.spec.volume_name)
        if volume is not None and volume.spec.csi is not None:
            found.add((volume.spec.csi.driver, volume.spec.csi.volume_handle))
        elif not claim.spec.volume_name and (storage_class := volumes.class_of(claim)) is not None:
            found.add((storage_class.provisioner, f"{claim.metadata.namespace}/{claim.metadata.name}"))
    return found
