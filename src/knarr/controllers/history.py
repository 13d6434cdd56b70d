"""ControllerRevisions: the template history of StatefulSets and DaemonSets.

A revision's content is the patch that puts its template back (`kubectl rollout undo` sends it). The revision with the
template of now is the *update* revision; an old one that becomes it again gets the next number. Pure.
Spec: "ControllerRevision".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from knarr.base import ids
from knarr.client.client import DeleteOptions, Json
from knarr.client.view import View
from knarr.controllers import claims
from knarr.controllers.controller import Action, Create, Delete, Patch
from knarr.kinds.apps import CONTROLLERREVISION
from knarr.kinds.lens.meta import ObjectMeta
from knarr.kinds.lens.sets import ControllerRevision
from knarr.kinds.registry import Kind

HASH: Final = "controller-revision-hash"
"""The label of pods that tells their revision."""
# Kind → the label of its revisions that tells their hash.
REVISION_HASH: Final = {"DaemonSet": HASH, "StatefulSet": "controller.kubernetes.io/hash"}
DEFAULT_LIMIT: Final = 10


@dataclass(frozen=True, slots=True)
class History:
    """The revisions in order of their numbers, the name of the update revision, what makes it so, and how often its
    name was taken already (status.collisionCount)."""

    revisions: Sequence[ControllerRevision]
    update: str
    actions: Sequence[Action]
    collisions: int | None

    def named(self, name: str) -> ControllerRevision | None:
        return next((one for one in self.revisions if one.metadata.name == name), None)


def hashed(text: bytes) -> str:
    """A short stable name: FNV-1a in the alphabet of generated names."""
    value = 0x811C9DC5
    for byte in text:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return "".join(ids.NAME_ALPHABET[ord(digit) % len(ids.NAME_ALPHABET)] for digit in str(value))


def content(template: Json) -> Json:
    """The patch that puts a template in the place of whatever is there."""
    return {"spec": {"template": {**template, "$patch": "replace"}}}


def of(kind: Kind, root: Any, template: Json, view: View) -> History:
    """The history of a root, with its template of now as the update revision."""
    meta: ObjectMeta = root.metadata
    owned = view.owned(ControllerRevision, meta.uid)
    found = sorted(
        (one for one in owned if claims.is_controlled_by(one.metadata, meta.uid)),
        key=lambda one: (one.revision, one.metadata.creation_timestamp or 0, one.metadata.name),
    )
    wanted = content(template)
    equal = [one for one in found if one.data == wanted]
    number = (found[-1].revision if found else 0) + 1
    collisions = root.status.collision_count
    if not equal:
        name, collisions = _free_name(root, wanted, view)
        return History(found, name, [_creation(kind, root, name, number, wanted)], collisions)
    update = equal[-1]
    if update is found[-1]:
        return History(found, update.metadata.name, (), collisions)
    patch = {"metadata": {"uid": update.metadata.uid}, "revision": number}
    renumbered = Patch(CONTROLLERREVISION, meta.namespace, update.metadata.name, patch)
    ordered = [*(one for one in found if one is not update), update]
    return History(ordered, update.metadata.name, [renumbered], collisions)


def _free_name(root: Any, wanted: Json, view: View) -> tuple[str, int | None]:
    """The name for a new revision, and the collisions that it took: a name is taken by a revision with another content
    or another owner."""
    collisions = root.status.collision_count
    while True:
        name = f"{root.metadata.name}-{_hash(wanted, collisions)}"
        if view.get(ControllerRevision, root.metadata.namespace, name) is None:
            return name, collisions
        collisions = (collisions or 0) + 1


def _hash(wanted: Json, collisions: int | None) -> str:
    suffix = str(collisions).encode() if collisions else b""
    return hashed(msgspec.json.encode(wanted, order="deterministic") + suffix)


def hash_of(name: str, root_name: str) -> str:
    """The hash in a revision's name."""
    return name.removeprefix(f"{root_name}-")


def _creation(kind: Kind, root: Any, name: str, number: int, wanted: Json) -> Action:
    meta: ObjectMeta = root.metadata
    labels = {**(wanted["spec"]["template"].get("metadata") or {}).get("labels", {})}
    labels[REVISION_HASH[kind.kind]] = hash_of(name, meta.name)
    body = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": name,
            "namespace": meta.namespace,
            "labels": labels,
            "annotations": {
                key: value
                for key, value in meta.annotations.items()
                if key != "kubectl.kubernetes.io/last-applied-configuration"
            },
            "ownerReferences": [claims.controller_reference(kind, meta)],
        },
        # In the order of names, as Go writes it: kubectl compares the text to tell a template that is there already.
        "data": msgspec.json.decode(msgspec.json.encode(wanted, order="deterministic")),
        "revision": number,
    }
    return Create(CONTROLLERREVISION, meta.namespace, body, tolerate_existing=True)


def surplus(history: History, live: set[str], limit: int | None) -> Sequence[Action]:
    """The oldest revisions beyond the limit; those that pods still have (`live`, by name) do not count."""
    idle = [one for one in history.revisions if one.metadata.name not in live and one.metadata.name != history.update]
    most = DEFAULT_LIMIT if limit is None else limit
    return [
        Delete(CONTROLLERREVISION, one.metadata.namespace, one.metadata.name, DeleteOptions(uid=one.metadata.uid))
        for one in idle[: max(0, len(idle) - most)]
    ]
