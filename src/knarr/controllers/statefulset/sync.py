"""StatefulSet: one pod per ordinal, created upwards and removed downwards, each waiting for the one before.

`Parallel` does not wait. A rolling update goes from the highest ordinal down to `partition`; `OnDelete` leaves it to
whoever deletes. Not here: what a pod is (identity.py), revisions (../history.py). Spec: "StatefulSet".
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from knarr.base.clock import Instant
from knarr.base.errors import KnarrError
from knarr.client.client import DeleteOptions, Json
from knarr.client.view import View
from knarr.controllers import claims, conditions, history, pods, selectors, templates
from knarr.controllers.controller import Action, Controller, Create, Delete, EventNote, Key, Patch, Plan
from knarr.controllers.statefulset import identity, retention
from knarr.controllers.statefulset.identity import Version
from knarr.kinds.apps import CONTROLLERREVISION, STATEFULSET
from knarr.kinds.core_pod import POD
from knarr.kinds.core_storage import PERSISTENTVOLUMECLAIM
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.sets import StatefulSet
from knarr.kinds.lens.storage import PersistentVolumeClaim

ALWAYS = frozenset({"replicas", "availableReplicas"})


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything a plan looks at, read once. `by_ordinal` has every pod of the set, wanted or not."""

    stateful_set: StatefulSet
    by_ordinal: Mapping[int, Pod]
    current: Version
    update: Version
    volume_claims: Sequence[Json]
    now: Instant

    @property
    def start(self) -> int:
        ordinals = self.stateful_set.spec.ordinals
        return ordinals.start if ordinals is not None else 0

    @property
    def replicas(self) -> int:
        return 1 if self.stateful_set.spec.replicas is None else self.stateful_set.spec.replicas

    @property
    def wanted(self) -> range:
        return range(self.start, self.start + self.replicas)

    @property
    def is_ordered(self) -> bool:
        return self.stateful_set.spec.pod_management_policy != "Parallel"

    def is_available(self, pod: Pod) -> bool:
        return pods.is_available(pod, self.stateful_set.spec.min_ready_seconds, self.now)

    def is_healthy(self, pod: Pod) -> bool:
        return is_running_and_ready(pod) and pod.metadata.deletion_timestamp is None


def is_running_and_ready(pod: Pod) -> bool:
    return pod.status.phase == "Running" and pods.is_ready(pod)


def plan(stateful_set: StatefulSet, view: View, now: Instant) -> Plan:
    """Fill ordinals, drop those beyond, then update."""
    meta = stateful_set.metadata
    claimant = claims.Claimant(STATEFULSET, meta, stateful_set.spec.selector, POD)
    claim = claims.claim(
        claimant,
        view.owned(Pod, meta.uid),
        view.owned(Pod, "", meta.namespace),
        is_wanted=lambda pod: identity.ordinal(pod, meta.name) is not None,
    )
    raw = view.raw(StatefulSet, meta.namespace, meta.name)
    found = history.of(STATEFULSET, stateful_set, templates.template(raw), view)
    picture = pictured(stateful_set, claim.mine, found, identity.claim_templates(raw), now)
    actions: list[Action] = [*claim.actions, *found.actions]
    if meta.deletion_timestamp is None:
        for number, pod in picture.by_ordinal.items():
            is_condemned = number not in picture.wanted
            templates_of = picture.volume_claims
            actions += retention.actions(stateful_set, pod, templates_of, view, is_condemned=is_condemned)
        actions += steps(picture, view)
        live = {identity.version_of(pod, meta.name) for pod in claim.mine} | {stateful_set.status.current_revision}
        actions += history.surplus(found, live, stateful_set.spec.revision_history_limit)
    return Plan(
        actions,
        status=status(picture, found),
        again_at=pods.next_available(claim.mine, stateful_set.spec.min_ready_seconds, now),
        why=why(picture),
    )


def pictured(
    stateful_set: StatefulSet, mine: Sequence[Pod], found: history.History, volume_claims: Sequence[Json], now: Instant
) -> Picture:
    name = stateful_set.metadata.name
    by_ordinal = {number: pod for pod in mine if (number := identity.ordinal(pod, name)) is not None}
    update_template = next((one.data for one in found.revisions if one.metadata.name == found.update), None)
    if update_template is None:  # About to be created.
        created = next(one for one in found.actions if isinstance(one, Create))
        update_template = created.body["data"]
    update = _version(found.update, update_template)
    before = found.named(stateful_set.status.current_revision)
    current = _version(before.metadata.name, before.data) if before is not None else update
    return Picture(stateful_set, by_ordinal, current, update, volume_claims, now)


def _version(name: str, content: Json | None) -> Version:
    template = dict((content or {}).get("spec", {}).get("template", {}))
    template.pop("$patch", None)
    return Version(name, template)


def steps(picture: Picture, view: View) -> Sequence[Action]:
    """What is done now: the first thing that is due for an ordered set, everything for a parallel one."""
    actions: list[Action] = []
    for number in picture.wanted:
        pod = picture.by_ordinal.get(number)
        if pod is None:
            actions += creation(picture, number, view)
        elif pod.status.phase in ("Failed", "Succeeded") and pod.metadata.deletion_timestamp is None:
            actions.append(_recreation(picture, pod))
        elif repair := repairs(picture, pod, view):
            actions += repair
        elif picture.is_healthy(pod) and picture.is_available(pod):
            continue
        if picture.is_ordered:
            return actions
    condemned = sorted((one for one in picture.by_ordinal if one not in picture.wanted), reverse=True)
    for position, number in enumerate(condemned):
        pod = picture.by_ordinal[number]
        before = [picture.by_ordinal[one] for one in condemned[position + 1 :]]
        if pod.metadata.deletion_timestamp is None and not (picture.is_ordered and _waits(picture, pod, before)):
            actions.append(deletion(picture, pod))
        if picture.is_ordered:
            return actions
    return actions or updates(picture)


def _waits(picture: Picture, pod: Pod, before: Sequence[Pod]) -> bool:
    """A pod that is not ready goes only once those before it are, or are none."""
    return not picture.is_healthy(pod) and not all(picture.is_healthy(one) for one in before)


def repairs(picture: Picture, pod: Pod, view: View) -> Sequence[Action]:
    """What a pod that is there lacks: the label with its name, and while it is pending its claims."""
    meta = pod.metadata
    actions: list[Action] = []
    if meta.deletion_timestamp is None and meta.labels.get(identity.POD_NAME) != meta.name:
        body = {"metadata": {"uid": meta.uid, "labels": {identity.POD_NAME: meta.name}}}
        actions.append(Patch(POD, meta.namespace, meta.name, body, tolerate_absent=True))
    if pod.status.phase == "Pending":
        actions += missing_claims(picture, meta.name, view)
    return actions


def updates(picture: Picture) -> Sequence[Action]:
    """RollingUpdate: from the highest ordinal down, as many at once as maxUnavailable allows."""
    strategy = picture.stateful_set.spec.update_strategy
    if strategy.type == "OnDelete":
        return ()
    rolling = strategy.rolling_update
    partition = (rolling.partition or 0) if rolling else 0
    most = unavailable_max(rolling.max_unavailable if rolling else None, picture.replicas)
    unavailable = 0
    actions: list[Action] = []
    for number in reversed(picture.wanted):
        pod = picture.by_ordinal.get(number)
        is_up = pod is not None and picture.is_healthy(pod) and picture.is_available(pod)
        unavailable += not is_up
    for number in reversed(picture.wanted):
        pod = picture.by_ordinal.get(number)
        if pod is None or number - picture.start < partition:
            continue
        is_up = picture.is_healthy(pod) and picture.is_available(pod)
        if identity.version_of(pod, picture.stateful_set.metadata.name) == picture.update.name:
            if not is_up and most == 1:
                return actions  # One after the other: the next waits for this one.
            continue
        if pod.metadata.deletion_timestamp is not None:
            if most == 1:
                return actions
            continue
        if is_up:
            if unavailable >= most:
                return actions
            unavailable += 1
        actions.append(deletion(picture, pod))
        if len(actions) >= most:
            return actions
    return actions


def unavailable_max(value: int | str | None, replicas: int) -> int:
    """At least 1; percentages are rounded up."""
    if value is None:
        return 1
    number = value if isinstance(value, int) else math.ceil(replicas * int(value.removesuffix("%")) / 100)
    return max(1, number)


def creation(picture: Picture, number: int, view: View) -> Sequence[Action]:
    """The claims that are missing, then the pod, at the revision that its ordinal has now."""
    meta = picture.stateful_set.metadata
    version = version_for(picture, number)
    body = identity.pod_body(picture.stateful_set, version, number, picture.volume_claims)
    name = body["metadata"]["name"]
    if retention.are_leaving(picture.stateful_set, name, picture.volume_claims, view):
        return ()
    note = EventNote("Normal", "SuccessfulCreate", f"create Pod {name} in StatefulSet {meta.name} successful")
    return [*missing_claims(picture, name, view), Create(POD, meta.namespace, body, note=note)]


def missing_claims(picture: Picture, pod_name: str, view: View) -> Sequence[Action]:
    """The claims of one pod that are to be created."""
    meta = picture.stateful_set.metadata
    actions: list[Action] = []
    for template in picture.volume_claims:
        claim = identity.claim_body(picture.stateful_set, template, pod_name)
        claim_name = claim["metadata"]["name"]
        if view.get(PersistentVolumeClaim, meta.namespace, claim_name) is None:
            text = f"create Claim {claim_name} Pod {pod_name} in StatefulSet {meta.name} success"
            note = EventNote("Normal", "SuccessfulCreate", text)
            actions.append(Create(PERSISTENTVOLUMECLAIM, meta.namespace, claim, tolerate_existing=True, note=note))
    return actions


def version_for(picture: Picture, number: int) -> Version:
    """Below the partition, and while an update has not come down to it, an ordinal keeps the current revision."""
    strategy = picture.stateful_set.spec.update_strategy
    if strategy.type == "OnDelete":
        return picture.update
    partition = (strategy.rolling_update.partition or 0) if strategy.rolling_update else 0
    return picture.current if number - picture.start < partition else picture.update


def deletion(picture: Picture, pod: Pod) -> Action:
    meta = pod.metadata
    text = f"delete Pod {meta.name} in StatefulSet {picture.stateful_set.metadata.name} successful"
    note = EventNote("Normal", "SuccessfulDelete", text)
    return Delete(POD, meta.namespace, meta.name, DeleteOptions(uid=meta.uid), note)


def _recreation(picture: Picture, pod: Pod) -> Action:
    meta, parent = pod.metadata, picture.stateful_set.metadata
    who = f"StatefulSet {parent.namespace}/{parent.name} is recreating"
    if pod.status.phase == "Failed":
        note = EventNote("Warning", "RecreatingFailedPod", f"{who} failed Pod {meta.name}")
    else:
        note = EventNote("Normal", "RecreatingTerminatedPod", f"{who} terminated Pod {meta.name}")
    return Delete(POD, meta.namespace, meta.name, DeleteOptions(uid=meta.uid), note)


def status(picture: Picture, found: history.History) -> Json:
    """The counts; once every pod is new and ready, the update revision is the current one."""
    stateful_set, set_name, update_revision = picture.stateful_set, picture.stateful_set.metadata.name, found.update
    every = list(picture.by_ordinal.values())
    alive = [pod for pod in every if pod.metadata.deletion_timestamp is None]
    ready = sum(is_running_and_ready(pod) for pod in every)
    versions = [identity.version_of(pod, set_name) for pod in alive]
    current, updated = versions.count(picture.current.name), versions.count(picture.update.name)
    current_revision = picture.current.name
    is_rolling = stateful_set.spec.update_strategy.type != "OnDelete"
    if is_rolling and updated == ready == len(every) == picture.replicas:
        current_revision, current = update_revision, updated
    return conditions.pruned(
        {
            "observedGeneration": stateful_set.metadata.generation,
            "replicas": len(every),
            "readyReplicas": ready,
            "availableReplicas": sum(is_running_and_ready(pod) and picture.is_available(pod) for pod in every),
            "currentReplicas": current,
            "updatedReplicas": updated,
            "currentRevision": current_revision,
            "updateRevision": update_revision,
            "collisionCount": found.collisions,
            "conditions": conditions.encode(stateful_set.status.conditions),
        },
        keep=ALWAYS,
    )


def why(picture: Picture) -> str:
    """In words, which ordinal everybody waits for."""
    for number in picture.wanted:
        pod = picture.by_ordinal.get(number)
        name = f"{picture.stateful_set.metadata.name}-{number}"
        if pod is None:
            return f"{name} does not exist yet"
        if not picture.is_healthy(pod):
            return f"{name} is not ready"
    return ""


def failed(stateful_set: StatefulSet, action: Action, error: KnarrError, view: View, now: Instant) -> Plan:
    """A pod or claim could not be created or deleted: an event says so, and the others are counted all the same."""
    if isinstance(action, Patch) or action.kind not in (POD, PERSISTENTVOLUMECLAIM):
        return Plan()
    verb = "create" if isinstance(action, Create) else "delete"
    name = action.body["metadata"]["name"] if isinstance(action, Create) else action.name
    what = f"Pod {name}"
    if action.kind == PERSISTENTVOLUMECLAIM:
        set_name = stateful_set.metadata.name
        what = f"Claim {name} Pod {set_name}-{name.rpartition('-')[2]}"
    text = f"{verb} {what} in StatefulSet {stateful_set.metadata.name} failed error: {error}"
    return Plan(
        status=plan(stateful_set, view, now).status, events=[EventNote("Warning", f"Failed{verb.title()}", text)]
    )


def orphan_keys(pod: Pod, view: View) -> Sequence[Key]:
    """The StatefulSet that may adopt a pod which nobody controls: by name and selector."""
    if claims.controller_of(pod.metadata) is not None:
        return ()
    parent = pod.metadata.name.rpartition("-")[0]
    found = view.get(StatefulSet, pod.metadata.namespace, parent) if parent else None
    if found is None or not selectors.matches(found.spec.selector, pod.metadata.labels):
        return ()
    return [(pod.metadata.namespace, parent)]


def claim_keys(claim: PersistentVolumeClaim, view: View) -> Sequence[Key]:
    """The StatefulSet that a claim's name speaks of: `TEMPLATE-SET-ORDINAL`."""
    stem, _, number = claim.metadata.name.rpartition("-")
    if not number.isdigit():
        return ()
    parts = stem.split("-")
    names = ("-".join(parts[start:]) for start in range(1, len(parts)))
    namespace = claim.metadata.namespace
    return [(namespace, name) for name in names if view.get(StatefulSet, namespace, name) is not None]


CONTROLLER = Controller(
    "statefulset-controller",
    kind=STATEFULSET,
    plan=plan,
    owns=(POD, CONTROLLERREVISION),
    watches={POD: orphan_keys, PERSISTENTVOLUMECLAIM: claim_keys},
    writes=(POD, CONTROLLERREVISION, PERSISTENTVOLUMECLAIM),
    failed=failed,
)
