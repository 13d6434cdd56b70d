"""Immutability: which fields of a kind may not change, from the facts table, with upstream's texts. Pure.

`fields` may not change at all; `under`/`allExcept` freezes a part but for some paths; `whenTrue` freezes once a field
is true. Rules that relax a field are a table of predicates below; what needs more is in kinds/rules, and what a type's
own markers say in objects/changes.py.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Final

from knarr.base.errors import Cause
from knarr.kinds import schemas
from knarr.kinds.registry import Kind
from knarr.kinds.rules import pod_changes, storage
from knarr.objects import changes, defaults, faults

Json = dict[str, Any]
_segments = functools.lru_cache(1024)(defaults.segments)

UNDER_TEXTS: Final[Mapping[str, str]] = {
    "Pod": (
        "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
        "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
    ),
    "StatefulSet": (
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
        "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
    ),
    "PersistentVolumeClaim": (
        "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
    ),
}
# (kind, field) → the text of a Forbidden fault, where upstream does not say "field is immutable".
FORBIDDEN_TEXTS: Final[Mapping[tuple[str, str], str]] = {
    ("StorageClass", "parameters"): "updates to parameters are forbidden.",
    ("StorageClass", "provisioner"): "updates to provisioner are forbidden.",
    ("StorageClass", "reclaimPolicy"): "updates to reclaimPolicy are forbidden.",
    ("PriorityClass", "value"): "may not be changed in an update.",
    ("VolumeAttributesClass", "driverName"): "updates to driverName are forbidden.",
    ("VolumeAttributesClass", "parameters"): "updates to parameters are forbidden.",
}
# What a rule of kinds/rules says in upstream's words.
JUDGED_BY_RULE: Final = frozenset(
    (("Service", "spec.ipFamilies[0]"), ("ResourceQuota", "spec.scopes"), ("Node", "spec.providerID"),
     ("Node", "spec.podCIDRs"))
)  # fmt: skip
# A path that may change below an immutable part, and when.
CONDITIONS: Final[Mapping[tuple[str, str], Callable[[Json, Json], bool]]] = {
    ("Pod", "spec.terminationGracePeriodSeconds"): pod_changes.is_mended,
    ("PersistentVolumeClaim", "spec.resources.requests"): storage.is_bound,
    ("PersistentVolumeClaim", "spec.storageClassName"): storage.gets_class,
    ("PersistentVolumeClaim", "spec.volumeAttributesClassName"): storage.is_bound,
    ("PersistentVolumeClaim", "spec.volumeName"): storage.gets_volume,
    ("Pod", "spec.nodeSelector"): pod_changes.is_gated,
    ("Pod", "spec.affinity.nodeAffinity"): pod_changes.is_gated,
}
INVALID_TEXTS: Final[Mapping[str, str]] = {"roleRef": "cannot change roleRef"}
Allowed = Callable[[Json, Json, str], bool]


def _was_empty(new: Json, old: Json, path: str) -> bool:
    return not value(old, path)


def _is_established(new: Json, old: Json, path: str) -> bool:
    conditions = (old.get("status") or {}).get("conditions") or ()
    return not any(each.get("type") == "Established" and each.get("status") == "True" for each in conditions)


def _is_indexed(new: Json, old: Json, path: str) -> bool:
    """An indexed Job's completions are judged by a rule."""
    return (new.get("spec") or {}).get("completionMode") == "Indexed"


def _is_unstarted_suspended_job(new: Json, old: Json, path: str) -> bool:
    spec, status = old.get("spec") or {}, old.get("status") or {}
    if not spec.get("suspend") or status.get("startTime"):
        return False
    kept = ("containers", "initContainers", "volumes", "restartPolicy", "serviceAccountName")
    pods = [((each.get("spec") or {}).get("template") or {}).get("spec") or {} for each in (new, old)]
    return all(pods[0].get(key) == pods[1].get(key) for key in kept)


def _is_judged_by_rule(new: Json, old: Json, path: str) -> bool:
    """kinds/rules says it in upstream's words."""
    return True


# Text of the facts' rule → whether the change is allowed all the same.
RULES: Final[Mapping[str, Allowed]] = {
    "empty to set": _was_empty,
    "nil to set": _was_empty,
    "unless type changes to or from ExternalName": _is_judged_by_rule,
    "first entry; secondary may be added or removed": _is_judged_by_rule,
    "while externalTrafficPolicy=Local and type=LoadBalancer": _is_judged_by_rule,
    "while type=LoadBalancer": _is_judged_by_rule,
    "adding a second family may be allowed (uncertain)": _is_judged_by_rule,
    "once Established": _is_established,
    "may change with parallelism when completionMode=Indexed and both stay equal": _is_indexed,
    "while suspended and never started: template labels, annotations, nodeSelector, affinity, tolerations, "
    "schedulingGates": _is_unstarted_suspended_job,
}

# What a subresource changes since the facts were taken (InPlacePodLevelResourcesVerticalScaling).
LATER: Final = {("Pod", "resize"): ("spec.resources",)}


def value(obj: Any, path: str) -> Any:
    return defaults.at(obj, _segments(path))


def found(kind: Kind, new: Json, old: Json, subresource: str = "") -> list[Cause]:
    """The faults of a change of an object by its own rules."""
    facts: Mapping[str, Any] = kind.facts.get("immutable") or {}
    if subresource == "status":
        return []
    causes: list[Cause] = []
    rules: Mapping[str, str] = facts.get("rules", {})
    for path in facts.get("fields", ()):
        if "<" not in path and (kind.kind, path) not in JUDGED_BY_RULE:
            causes += _field(kind, path, rules.get(path, ""), (new, old))
    for flag, paths in facts.get("whenTrue", {}).items():
        if old.get(flag) is True:
            causes += [
                faults.forbidden(path, f"field is immutable when `{flag}` is set")
                for path in paths
                if (new.get(path) or None) != (old.get(path) or None)
            ]
    if "under" in facts:
        return causes + _under(kind, facts, (new, old), subresource)
    marked = changes.found(schemas.of(kind), new, old)
    if marked:
        judged = (*facts.get("fields", ()), *(path for paths in facts.get("whenTrue", {}).values() for path in paths))
        causes += [cause for cause in marked if not cause.field.startswith(judged or ("\0",))]
    return causes


def _field(kind: Kind, path: str, rule: str, pair: tuple[Json, Json]) -> list[Cause]:
    new, old = pair
    given, held = value(new, path), value(old, path)
    if given == held or (not given and not held):
        return []
    if rule in RULES and RULES[rule](new, old, path):
        return []
    if (kind.kind, path) in FORBIDDEN_TEXTS:
        return [faults.forbidden(path, FORBIDDEN_TEXTS[kind.kind, path])]
    return [faults.invalid(path, given, INVALID_TEXTS.get(path, faults.IMMUTABLE))]


def _under(kind: Kind, facts: Mapping[str, Any], pair: tuple[Json, Json], subresource: str) -> list[Cause]:
    part: str = facts["under"]
    paths = [
        path for path in facts["allExcept"] if (kind.kind, path) not in CONDITIONS or CONDITIONS[kind.kind, path](*pair)
    ]
    paths += facts.get("viaSubresource", {}).get(subresource, ())
    paths += LATER.get((kind.kind, subresource), ())
    new, old = (without(each, paths).get(part) or {} for each in pair)
    if new == old:
        return []
    text = UNDER_TEXTS.get(kind.kind, "field is immutable")
    names = sorted(key for key in new.keys() | old.keys() if new.get(key) != old.get(key))
    return [faults.forbidden(part, f"{text}\n(changed: {', '.join(f'{part}.{name}' for name in names)})")]


def without(obj: Json, paths: list[str]) -> Json:
    """A copy of the object that lacks the values at the paths (`[*]` = in every entry)."""
    for path in paths:
        obj = _without(obj, _segments(path))
    return obj


def _without(held: Any, path: tuple[str, ...]) -> Any:
    first, rest = path[0], path[1:]
    if first == "*":
        return [_without(entry, rest) for entry in held] if isinstance(held, list) else held
    if not isinstance(held, dict) or first not in held:
        return held
    inner = _without(held[first], rest) if rest else None
    if inner is None or inner == {}:  # a part that holds nothing else is no change either
        return {key: each for key, each in held.items() if key != first}
    return {**held, first: inner}
