"""Revisions: which set is the new one, its name, and the annotations that make history and undo work.

`kubectl rollout undo` puts an old template back; the set that has it becomes the new one and gets the next number.
Pure. Spec: "Deployments: rolling back", label pod-template-hash.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from knarr.base import ids
from knarr.client.client import Json
from knarr.controllers.deployment.picture import REVISION, REVISION_HISTORY, revision
from knarr.kinds.lens.apps import Deployment, ReplicaSet

HASH_LABEL: Final = "pod-template-hash"
HISTORY_CHARACTERS_MAX: Final = 2000
# Annotations of the Deployment that are its own affair.
NOT_COPIED: Final = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        REVISION_HISTORY,
        "deployment.kubernetes.io/desired-replicas",
        "deployment.kubernetes.io/max-replicas",
        "deprecated.deployment.rollback.to",
    }
)


def template_hash(template: Json, collisions: int | None) -> str:
    """A short stable name for a template: FNV-1a of its canonical JSON in the alphabet of generated names."""
    value = 0x811C9DC5
    for byte in msgspec.json.encode(template, order="deterministic") + str(collisions or "").encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return "".join(ids.NAME_ALPHABET[ord(digit) % len(ids.NAME_ALPHABET)] for digit in str(value))


def bare(template: Json) -> Json:
    """The template without the hash label: what two sets are compared by."""
    metadata = template.get("metadata") or {}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH_LABEL}
    rest = {key: value for key, value in metadata.items() if key not in ("labels", "creationTimestamp")}
    return {**template, "metadata": {**rest, "labels": labels}}


def new_set(template: Json, sets: Mapping[str, Json], ordered: Sequence[ReplicaSet]) -> ReplicaSet | None:
    """The oldest set with the Deployment's template; `sets` are the sets' templates by name."""
    wanted = bare(template)
    return next((one for one in ordered if bare(sets[one.metadata.name]) == wanted), None)


def next_revision(old: Sequence[ReplicaSet]) -> int:
    """One more than the highest of the old sets."""
    return max((revision(one) for one in old), default=0) + 1


def annotations(deployment: Deployment, new: ReplicaSet | None, number: int) -> dict[str, str]:
    """What the new set's annotations must become: the Deployment's, and the revision with those it had before."""
    present = new.metadata.annotations if new is not None else {}
    wanted = {key: value for key, value in deployment.metadata.annotations.items() if key not in NOT_COPIED}
    had = revision(new) if new is not None else 0
    if had < number:
        wanted[REVISION] = str(number)
        if had:
            wanted[REVISION_HISTORY] = _history(present.get(REVISION_HISTORY, ""), had)
    return {key: value for key, value in wanted.items() if present.get(key) != value}


def _history(before: str, had: int) -> str:
    numbers = [*filter(None, before.split(",")), str(had)]
    while len(",".join(numbers)) > HISTORY_CHARACTERS_MAX:
        numbers.pop(0)
    return ",".join(numbers)


def surplus(deployment: Deployment, old: Sequence[ReplicaSet]) -> Sequence[ReplicaSet]:
    """Old sets beyond revisionHistoryLimit, lowest revision first; none that still has or reports pods."""
    limit = deployment.spec.revision_history_limit
    if limit is None or limit >= 2**31 - 1:
        return ()
    alive = sorted((one for one in old if one.metadata.deletion_timestamp is None), key=revision)
    return [
        one
        for one in alive[: max(0, len(alive) - limit)]
        if one.spec.replicas == 0
        and one.status.replicas == 0
        and one.metadata.generation <= one.status.observed_generation
    ]
