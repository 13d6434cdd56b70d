"""What may change in a pod beside what immutability allows: tolerations are only added, deadlines only shrink.

A pod that is held back by scheduling gates may be told more precisely where to go. Not here: resizes (pod_resize.py).
Texts are upstream's.
"""

from collections.abc import Iterator
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds.rules import pod_annotations
from knarr.objects import faults

Json = dict[str, Any]
REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"


def pod_create(found: Json) -> Iterator[Cause]:
    given, spec = found["metadata"], found.get("spec") or {}
    if spec.get("ephemeralContainers"):
        yield faults.forbidden("spec.ephemeralContainers", "cannot be set on create")
    if given.get("annotations"):
        yield from pod_annotations.of_pod(given, spec, "metadata.annotations")
        yield from pod_annotations.agreeing(given, spec, "spec")


def pod(new: Json, old: Json) -> Iterator[Cause]:
    given, held = new.get("spec") or {}, old.get("spec") or {}
    for kind in ("containers", "initContainers"):
        if len(given.get(kind) or ()) != len(held.get(kind) or ()):
            yield faults.forbidden(f"spec.{kind}", "pod updates may not add or remove containers")
    yield from _deadline(given.get("activeDeadlineSeconds"), held.get("activeDeadlineSeconds"))
    if given.get("tolerations") != held.get("tolerations"):
        yield from _tolerations(given.get("tolerations") or [], held.get("tolerations") or [])
    yield from _gates(given, held)
    yield from _ephemeral(new, old)


def _deadline(given: int | None, held: int | None) -> Iterator[Cause]:
    field = "spec.activeDeadlineSeconds"
    if held is not None and given is None:
        yield faults.invalid(field, None, "must not update from a positive integer to nil value")
    elif held is not None and given is not None and given > held:
        yield faults.invalid(field, given, "must be less than or equal to previous value")


def _tolerations(given: list[Json], held: list[Json]) -> Iterator[Cause]:
    kept = [_unlimited(toleration) for toleration in given]
    if any(_unlimited(toleration) not in kept for toleration in held):
        detail = "existing toleration can not be modified except its tolerationSeconds"
        yield faults.forbidden("spec.tolerations", detail)


def _unlimited(toleration: Json) -> Json:
    return {key: value for key, value in toleration.items() if key != "tolerationSeconds"}


def _ephemeral(new: Json, old: Json) -> Iterator[Cause]:
    """What was put into a pod to look at it stays as it is."""
    given, held = ((each.get("spec") or {}).get("ephemeralContainers") or [] for each in (new, old))
    if given != held and pod_annotations.MIRROR in (old["metadata"].get("annotations") or {}):
        yield faults.forbidden("", "static pods do not support ephemeral containers")
        return
    now = {each.get("name"): each for each in given}
    for was in held:
        name = was.get("name")
        if now.get(name) != was:
            verb = "changed" if name in now else "removed"
            detail = f'existing ephemeral containers "{name}" may not be {verb}'
            yield faults.forbidden("spec.ephemeralContainers", detail)


def is_gated(new: Json, old: Json) -> bool:
    """Was the pod held back?"""
    return bool((old.get("spec") or {}).get("schedulingGates"))


def is_mended(new: Json, old: Json) -> bool:
    """A grace period that was negative may become 1."""
    given, held = ((each.get("spec") or {}).get("terminationGracePeriodSeconds") for each in (new, old))
    return given == 1 and held is not None and held < 0


def _gates(given: Json, held: Json) -> Iterator[Cause]:
    before = [gate.get("name") for gate in held.get("schedulingGates") or ()]
    for index, gate in enumerate(given.get("schedulingGates") or ()):
        if gate.get("name") not in before:
            detail = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            yield faults.forbidden(f"spec.schedulingGates[{index}].name", detail)
    if before:
        yield from _node_selector(given.get("nodeSelector") or {}, held.get("nodeSelector") or {})
        affinities = [(spec.get("affinity") or {}).get("nodeAffinity") or {} for spec in (given, held)]
        terms = [(each.get(REQUIRED) or {}).get("nodeSelectorTerms") or [] for each in affinities]
        yield from _terms(terms[0], terms[1])


def _node_selector(given: Json, held: Json) -> Iterator[Cause]:
    if any(given.get(key) != value for key, value in held.items()):
        detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        yield faults.invalid("spec.nodeSelector", given, detail)


def _terms(given: list[Json], held: list[Json]) -> Iterator[Cause]:
    field = f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms"
    if held and len(given) != len(held):
        detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        yield faults.invalid(field, given, detail)
        return
    for index, (now, was) in enumerate(zip(given, held, strict=False)):
        if not _only_adds(now, was):
            detail = "only additions are allowed (no mutations or deletions)"
            yield faults.invalid(f"{field}[{index}]", now, detail)


def _only_adds(now: Json, was: Json) -> bool:
    parts = [(now.get(key) or [], was.get(key) or []) for key in ("matchExpressions", "matchFields")]
    if not any(before for _, before in parts):
        return not any(after for after, _ in parts)
    return all(after[: len(before)] == before for after, before in parts)
