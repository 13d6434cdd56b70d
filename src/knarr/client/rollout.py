"""Rollout history and undo, as kubectl knows them: from a Deployment's sets to its revisions and back.

Pure: objects in, a table or a patch out. The controller stamps the numbers (controllers/deployment/revisions.py).
Spec: "Deployments: rolling back".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from knarr.base.errors import Invalid, NotFound
from knarr.client.client import Json

REVISION: Final = "deployment.kubernetes.io/revision"
CHANGE_CAUSE: Final = "kubernetes.io/change-cause"
HASH_LABEL: Final = "pod-template-hash"


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision: its number, why it was made, and its pod template."""

    number: int
    change_cause: str
    template: Json


def history(deployment: Json, sets: Sequence[Json]) -> Sequence[Revision]:
    """The revisions of a Deployment, oldest first; sets of others and sets without a number are left out."""
    uid = deployment["metadata"]["uid"]
    found: dict[int, Revision] = {}
    for one in sets:
        metadata = one["metadata"]
        if not any(owner["uid"] == uid and owner.get("controller") for owner in metadata.get("ownerReferences", ())):
            continue
        marks: Mapping[str, Any] = metadata.get("annotations") or {}
        text = str(marks.get(REVISION, ""))
        if text.isascii() and text.isdigit():
            number = int(text)
            found[number] = Revision(number, str(marks.get(CHANGE_CAUSE, "")), one["spec"]["template"])
    return [found[number] for number in sorted(found)]


def undo(deployment: Json, revisions: Sequence[Revision], to_revision: int = 0) -> Json:
    """The JSON merge patch body that puts a revision's template back; 0 is the one before the current.

    Raises NotFound for a revision that is not there, Invalid for a paused Deployment.
    """
    name = deployment["metadata"]["name"]
    if deployment["spec"].get("paused"):
        raise Invalid(f"deployment {name!r} is paused; resume it before it is rolled back")
    if to_revision:
        chosen = next((one for one in revisions if one.number == to_revision), None)
        if chosen is None:
            raise NotFound(f"unable to find specified revision {to_revision} in history")
    elif len(revisions) < 2:
        raise NotFound(f"no rollout history found for deployment {name!r}")
    else:
        chosen = revisions[-2]
    template = dict(chosen.template)
    metadata = dict(template.get("metadata") or {})
    metadata["labels"] = {key: value for key, value in (metadata.get("labels") or {}).items() if key != HASH_LABEL}
    return {"spec": {"template": {**template, "metadata": metadata}}}
