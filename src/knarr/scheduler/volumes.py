"""Volumes: claims, volumes, classes and drivers as the scheduler knows them, and what it promised but does not see yet.

Kept true by the runner. A *promise* is the volume that was chosen for a claim of a pod on its way to its node, or None
where a provisioner is asked to make one there. Filters over them: filters/volumes.py; what suits: kinds/volumes.py.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from knarr.client.cache import Changed
from knarr.kinds import volumes as kinds
from knarr.kinds.core_storage import CSINODE, PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM, STORAGECLASS
from knarr.kinds.lens.node import Node
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.storage import CSINode, PersistentVolume, PersistentVolumeClaim, StorageClass

KINDS: Final = (PERSISTENTVOLUMECLAIM, PERSISTENTVOLUME, STORAGECLASS, CSINODE)
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Promise:
    """`volume` is the name of the chosen PersistentVolume; "" where one is to be made."""

    claim: PersistentVolumeClaim
    volume: str


class Volumes:
    def __init__(self) -> None:
        self.claims: dict[Key, PersistentVolumeClaim] = {}
        self.volumes: dict[str, PersistentVolume] = {}
        self.classes: dict[str, StorageClass] = {}
        self.drivers: dict[str, CSINode] = {}
        self._promised: dict[Key, str] = {}

    def note(self, changed: Changed) -> None:
        """Take one change of the cache."""
        held, name = changed.new, changed.held.metadata.name
        if changed.kind == PERSISTENTVOLUMECLAIM:
            self.claims.pop(changed.held.key, None)
            if held is not None:
                self.claims[held.key] = held.lens(PersistentVolumeClaim)
        elif changed.kind == PERSISTENTVOLUME:
            self.volumes.pop(name, None)
            if held is not None:
                self.volumes[name] = held.lens(PersistentVolume)
        elif changed.kind == STORAGECLASS:
            self.classes.pop(name, None)
            if held is not None:
                self.classes[name] = held.lens(StorageClass)
        else:
            self.drivers.pop(name, None)
            if held is not None:
                self.drivers[name] = held.lens(CSINode)

    def promise(self, promises: Iterable[Promise]) -> None:
        for each in promises:
            self._promised[_key(each.claim)] = each.volume

    def give_up(self, promises: Iterable[Promise]) -> None:
        for each in promises:
            self._promised.pop(_key(each.claim), None)

    def class_of(self, claim: PersistentVolumeClaim) -> StorageClass | None:
        return self.classes.get(kinds.class_name(claim))

    def choice(self, claim: PersistentVolumeClaim, node: Node, taken: Mapping[Key, str]) -> str | None:
        """The volume for a claim that waits for its consumer, "" for one that is to be made, None where neither is
        possible. `taken` are the choices for the pod's other claims."""
        selected = claim.metadata.annotations.get(kinds.SELECTED_NODE)
        if selected is not None:
            return "" if selected == node.metadata.name else None
        others = {name for key, name in (*self._promised.items(), *taken.items()) if name and key != _key(claim)}
        found = kinds.best_volume(claim, self.volumes.values(), node=node, taken=others)
        if found is not None:
            return found.metadata.name
        storage_class = self.class_of(claim)
        return "" if storage_class is not None and kinds.may_be_made_for(storage_class, node) else None

    def promises(self, pod: Pod, node: Node) -> tuple[Promise, ...] | None:
        """The choice for each claim of the pod that is not bound yet; None where one has none."""
        taken: dict[Key, str] = {}
        found = []
        for claim in self.of(pod):
            if claim is None:
                return None
            if kinds.is_bound(claim):
                continue
            chosen = self.choice(claim, node, taken)
            if chosen is None:
                return None
            taken[_key(claim)] = chosen
            found.append(Promise(claim, chosen))
        return tuple(found)

    def of(self, pod: Pod) -> list[PersistentVolumeClaim | None]:
        """The pod's claims; None for one that is not there."""
        return [self.claims.get((pod.metadata.namespace, name)) for name in kinds.claim_names(pod)]

    def are_bound(self, pod: Pod) -> bool:
        return all(claim is not None and kinds.is_bound(claim) for claim in self.of(pod))


def _key(claim: PersistentVolumeClaim) -> Key:
    return claim.metadata.namespace, claim.metadata.name
