"""Claims: which objects a controller's root owns, which it adopts and which it releases.

An object belongs to the root that its controller reference names. One without any that matches the selector is
adopted; one that no longer matches is released. Both are patches guarded by uid and resourceVersion: whoever changed
the object in between wins. Spec: "ReplicaSet: non-template pod acquisitions".
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import msgspec

from knarr.client.client import Json
from knarr.controllers import selectors
from knarr.controllers.controller import Action, Patch
from knarr.kinds.lens.meta import LabelSelector, ObjectMeta, OwnerReference
from knarr.kinds.registry import Kind


class HasMetadata(Protocol):
    @property
    def metadata(self) -> ObjectMeta: ...


T = TypeVar("T", bound=HasMetadata)


@dataclass(frozen=True, slots=True)
class Claim(Generic[T]):
    """What is the root's (adopted ones included) once the actions are done."""

    mine: Sequence[T]
    actions: Sequence[Action]


def controller_of(metadata: ObjectMeta) -> OwnerReference | None:
    """The reference to the controlling owner."""
    return next((reference for reference in metadata.owner_references if reference.controller), None)


def is_controlled_by(metadata: ObjectMeta, uid: str) -> bool:
    owner = controller_of(metadata)
    return owner is not None and owner.uid == uid


def controller_reference(kind: Kind, metadata: ObjectMeta) -> Json:
    """The ownerReference that names this root as controller."""
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": metadata.name,
        "uid": metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


@dataclass(frozen=True, slots=True)
class Claimant:
    """A root with its kind and selector, and the kind of what it claims."""

    kind: Kind
    metadata: ObjectMeta
    selector: LabelSelector | None
    claimed: Kind


def claim(
    claimant: Claimant, owned: Iterable[T], orphans: Iterable[T], *, is_wanted: Callable[[T], bool] = lambda _: True
) -> Claim[T]:
    """Sort what the root owns and what nobody controls. A terminating root keeps what it has and adopts nothing."""
    uid = claimant.metadata.uid
    is_terminating = claimant.metadata.deletion_timestamp is not None
    mine: list[T] = []
    actions: list[Action] = []
    for found in owned:
        if not is_controlled_by(found.metadata, uid) or not is_wanted(found):
            continue
        if is_terminating or selectors.matches(claimant.selector, found.metadata.labels):
            mine.append(found)
        elif found.metadata.deletion_timestamp is None:
            actions.append(_release(claimant, found.metadata))
    if not is_terminating:
        for found in orphans:
            is_alive = found.metadata.deletion_timestamp is None
            if is_alive and is_wanted(found) and selectors.matches(claimant.selector, found.metadata.labels):
                mine.append(found)
                actions.append(_adopt(claimant, found.metadata))
    return Claim(mine, actions)


def _adopt(claimant: Claimant, found: ObjectMeta) -> Action:
    references = [*_references(found), controller_reference(claimant.kind, claimant.metadata)]
    return _patch_owners(claimant.claimed, found, references)


def _release(claimant: Claimant, found: ObjectMeta) -> Action:
    references = [reference for reference in _references(found) if reference["uid"] != claimant.metadata.uid]
    return _patch_owners(claimant.claimed, found, references)


def _references(found: ObjectMeta) -> list[Json]:
    references: list[Json] = msgspec.to_builtins(found.owner_references)
    return [{key: value for key, value in reference.items() if value is not None} for reference in references]


def _patch_owners(kind: Kind, found: ObjectMeta, references: list[Json]) -> Action:
    guards = {"uid": found.uid, "resourceVersion": found.resource_version}
    body = {"metadata": {"ownerReferences": references or None, **guards}}
    return Patch(kind, found.namespace, found.name, body, tolerate_absent=True)
