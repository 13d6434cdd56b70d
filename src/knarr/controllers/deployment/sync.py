"""Deployment: a history of ReplicaSets of which the newest has the pods.

Decides in the order of upstream: pause, scale, or roll on by the strategy; then history is pruned and the status
told. How sets are sized is in rolling.py, recreate.py and scaling.py, numbers and names in revisions.py, conditions in
progress.py. Not here: pods (the ReplicaSet controller creates them). Spec: "Deployments".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import msgspec

from knarr.base.clock import Instant
from knarr.base.errors import AlreadyExists, KnarrError
from knarr.client.client import DeleteOptions, Json
from knarr.client.view import View
from knarr.controllers import claims, conditions, selectors, templates
from knarr.controllers.controller import Action, Controller, Create, Delete, EventNote, Key, Patch, Plan
from knarr.controllers.deployment import picture, progress, recreate, revisions, rolling, scaling
from knarr.controllers.deployment.picture import Member, Sizes, Wish
from knarr.kinds.apps import DEPLOYMENT, REPLICASET
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.apps import Deployment, DeploymentCondition, ReplicaSet
from knarr.kinds.lens.pod import Pod


@dataclass(frozen=True, slots=True)
class Rollout:
    """Everything a plan looks at, read once. `sets` are oldest first; `old` are all but the new one."""

    deployment: Deployment
    template: Json
    wish: Wish
    sets: Sequence[ReplicaSet]
    new: ReplicaSet | None
    old: Sequence[ReplicaSet]
    now: Instant

    @property
    def seen(self) -> progress.Seen:
        return progress.Seen(self.deployment, self.wish, self.sets, self.new, self.now)


@dataclass(frozen=True, slots=True)
class Step:
    """What one plan changes: sizes of sets, the size of a new set to create, and whether history is pruned."""

    sizes: Sizes
    create: int | None = None
    prune: bool = False


def plan(deployment: Deployment, view: View, now: Instant) -> Plan:
    """Adopt, then pause, scale or roll; status last."""
    if selectors.is_empty(deployment.spec.selector):
        text = "This deployment is selecting all pods. A non-empty selector is required."
        return Plan(events=[EventNote("Warning", "SelectingAll", text)])
    claim = claimed(deployment, view)
    rollout = read(deployment, claim.mine, view, now)
    found = progress.paused(deployment, now)
    if deployment.metadata.deletion_timestamp is not None:
        return Plan(claim.actions, status=progress.encoded(progress.counted(rollout.seen, found)))
    members = [picture.member(one) for one in rollout.sets]
    if deployment.spec.paused or scaling.is_scaling(rollout.wish, members):
        return scale(rollout, claim.actions, found)
    return roll(rollout, claim.actions, found, view)


def claimed(deployment: Deployment, view: View) -> claims.Claim[ReplicaSet]:
    meta = deployment.metadata
    claimant = claims.Claimant(DEPLOYMENT, meta, deployment.spec.selector, REPLICASET)
    return claims.claim(claimant, view.owned(ReplicaSet, meta.uid), view.owned(ReplicaSet, "", meta.namespace))


def read(deployment: Deployment, mine: Sequence[ReplicaSet], view: View, now: Instant) -> Rollout:
    """The sets in order, and which of them is the new one."""
    meta = deployment.metadata
    template = templates.template(view.raw(Deployment, meta.namespace, meta.name))
    ordered = sorted(mine, key=lambda one: (one.metadata.creation_timestamp or now, one.metadata.name))
    raws = {one.metadata.name: view.raw(ReplicaSet, meta.namespace, one.metadata.name) for one in ordered}
    found = {name: templates.template(raw) for name, raw in raws.items()}
    new = revisions.new_set(template, found, ordered)
    old = [one for one in ordered if one is not new]
    return Rollout(deployment, template, picture.wish(deployment), ordered, new, old, now)


def scale(rollout: Rollout, adoptions: Sequence[Action], found: progress.Conditions) -> Plan:
    """Share out a new number of replicas, or stand still while paused; no new set is created."""
    new = picture.member(rollout.new) if rollout.new else None
    old = [picture.member(one) for one in rollout.old]
    sizes = scaling.sizes(rollout.wish, new, old, rollout.deployment.status.replicas)
    step = Step(sizes, prune=rollout.deployment.spec.paused)
    actions = acts(rollout, step)
    status = progress.encoded(progress.counted(rollout.seen, found))
    said = "it is paused" if rollout.deployment.spec.paused else f"its sets are scaled to {rollout.wish.replicas} pods"
    return Plan([*adoptions, *actions], status=status, why=said)


def roll(rollout: Rollout, adoptions: Sequence[Action], found: progress.Conditions, view: View) -> Plan:
    """One step of the strategy."""
    step = next_step(rollout, view)
    actions = acts(rollout, step)
    status = progress.of_rollout(rollout.seen, announced(rollout, step, found))
    at = progress.deadline_at(rollout.deployment, conditions.find(status.conditions, progress.PROGRESSING))
    return Plan(
        [*adoptions, *actions],
        status=progress.encoded(status),
        # A second later than the deadline: conditions hold whole seconds, and only what is past is late.
        again_at=at + timedelta(seconds=1) if at is not None else None,
        why=why(rollout, status.updated_replicas, status.available_replicas),
    )


def next_step(rollout: Rollout, view: View) -> Step:
    """What the strategy does now."""
    wish = rollout.wish
    old = [picture.member(one) for one in rollout.old]
    active = [one for one in old if one.replicas > 0]
    is_done = progress.is_complete(wish, rollout.deployment.status) and _is_observed(rollout.deployment)
    if not wish.is_rolling:
        stopping = recreate.stop(active)
        if stopping:
            return Step(stopping)
        if any(recreate.is_running(view.owned(Pod, one.metadata.uid)) for one in rollout.old):
            return Step({})
        if rollout.new is None:
            return Step({}, create=wish.replicas)
        return Step({rollout.new.metadata.name: wish.replicas}, prune=is_done)
    if rollout.new is None:
        size = rolling.new_size(wish, old, 0)
        virtual = Member("", size, 0, None)
        return Step(rolling.shrink(wish, virtual, active), create=size)
    sizes = rolling.step(wish, picture.member(rollout.new), active)
    return Step(sizes, prune=is_done and not sizes)


def _is_observed(deployment: Deployment) -> bool:
    return deployment.status.observed_generation >= deployment.metadata.generation


def announced(rollout: Rollout, step: Step, found: progress.Conditions) -> progress.Conditions:
    """Progressing says that a set was created, or found again."""
    if not progress.has_deadline(rollout.deployment):
        return found
    if step.create is not None:
        text = f'Created new replica set "{new_name(rollout)}"'
        return _told(rollout, found, "NewReplicaSetCreated", text)
    if rollout.new is not None and conditions.find(found, progress.PROGRESSING) is None:
        return _told(rollout, found, "FoundNewReplicaSet", f'Found new replica set "{rollout.new.metadata.name}"')
    return found


def _told(rollout: Rollout, found: progress.Conditions, reason: str, text: str) -> progress.Conditions:
    new: DeploymentCondition = progress.condition(progress.PROGRESSING, "True", reason, text, rollout.now)
    return conditions.with_condition(found, new)


def new_hash(rollout: Rollout) -> str:
    return revisions.template_hash(rollout.template, rollout.deployment.status.collision_count)


def new_name(rollout: Rollout) -> str:
    return f"{rollout.deployment.metadata.name}-{new_hash(rollout)}"


def acts(rollout: Rollout, step: Step) -> Sequence[Action]:
    """The step as actions, each with what it tells."""
    actions: list[Action] = []
    number = revisions.next_revision(rollout.old)
    if step.create is not None:
        actions.append(creation(rollout, step.create, number))
    for one in rollout.sets:
        stamps = revisions.annotations(rollout.deployment, one, number) if one is rollout.new else {}
        change = sizing(rollout, one, step.sizes.get(one.metadata.name), stamps)
        if change is not None:
            actions.append(change)
    if step.prune:
        actions += [deletion(one) for one in revisions.surplus(rollout.deployment, rollout.old)]
    if step.create is not None or rollout.new is not None:
        had = picture.revision(rollout.new) if rollout.new is not None else 0
        actions += stamp(rollout.deployment, max(number, had))
    return actions


def creation(rollout: Rollout, size: int, number: int) -> Action:
    """The new ReplicaSet: the template with its hash in the labels, and the annotations of a first revision."""
    deployment, labels = rollout.deployment, {revisions.HASH_LABEL: new_hash(rollout)}
    template = revisions.bare(rollout.template)
    template["metadata"]["labels"].update(labels)
    selector = msgspec.to_builtins(deployment.spec.selector)
    name = new_name(rollout)
    body = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": deployment.metadata.namespace,
            "labels": template["metadata"]["labels"],
            "annotations": revisions.annotations(deployment, None, number) | sized_for(rollout.wish),
            "ownerReferences": [claims.controller_reference(DEPLOYMENT, deployment.metadata)],
        },
        "spec": {
            "replicas": size,
            "minReadySeconds": deployment.spec.min_ready_seconds,
            "selector": conditions.pruned(selector | {"matchLabels": {**selector.get("matchLabels", {}), **labels}}),
            "template": template,
        },
    }
    note = EventNote("Normal", "ScalingReplicaSet", f"Scaled up replica set {name} from 0 to {size}")
    return Create(REPLICASET, deployment.metadata.namespace, body, note=note if size else None)


def sized_for(wish: Wish) -> dict[str, str]:
    return {picture.DESIRED: str(wish.replicas), picture.MAX: str(wish.total_max)}


def sizing(rollout: Rollout, one: ReplicaSet, size: int | None, stamps: Mapping[str, str]) -> Action | None:
    """The patch that gives a set its size and annotations; None where it has them."""
    had = picture.size(one)
    wanted = had if size is None else size
    marks = dict(stamps)
    if size is not None:
        present = one.metadata.annotations
        marks |= {key: value for key, value in sized_for(rollout.wish).items() if present.get(key) != value}
    spec: Json = {"replicas": wanted} if wanted != had else {}
    if one is rollout.new and one.spec.min_ready_seconds != rollout.deployment.spec.min_ready_seconds:
        spec["minReadySeconds"] = rollout.deployment.spec.min_ready_seconds
    if not marks and not spec:
        return None
    meta = one.metadata
    body: Json = {"metadata": {"uid": meta.uid} | ({"annotations": marks} if marks else {})}
    if spec:
        body["spec"] = spec
    note = None
    if wanted != had:
        way = "up" if wanted > had else "down"
        text = f"Scaled {way} replica set {meta.name} from {had} to {wanted}"
        note = EventNote("Normal", "ScalingReplicaSet", text)
    return Patch(REPLICASET, meta.namespace, meta.name, body, note=note)


def deletion(one: ReplicaSet) -> Action:
    meta = one.metadata
    options = DeleteOptions(uid=meta.uid, resource_version=meta.resource_version)
    return Delete(REPLICASET, meta.namespace, meta.name, options)


def stamp(deployment: Deployment, number: int) -> Sequence[Action]:
    """The Deployment's own revision annotation."""
    meta = deployment.metadata
    if meta.annotations.get(picture.REVISION) == str(number):
        return ()
    guards = {"uid": meta.uid, "resourceVersion": meta.resource_version}
    body = {"metadata": {"annotations": {picture.REVISION: str(number)}, **guards}}
    # By way of status, as upstream: a change of annotations by the front door would count as a new generation.
    return [Patch(DEPLOYMENT, meta.namespace, meta.name, body, subresource="status")]


def failed(deployment: Deployment, action: Action, error: KnarrError, view: View, now: Instant) -> Plan:
    """A set could not be created: a name that another set has counts as collision, anything else is told."""
    if not isinstance(action, Create) or action.kind != REPLICASET:
        return Plan()
    name = action.body["metadata"]["name"]
    status = deployment.status
    if isinstance(error, AlreadyExists):
        taken = view.get(ReplicaSet, deployment.metadata.namespace, name)
        if taken is None:
            return Plan()  # Created a moment ago; the view will show it.
        counted = msgspec.structs.replace(status, collision_count=(status.collision_count or 0) + 1)
        return Plan(status=progress.encoded(counted))
    text = f'Failed to create new replica set "{name}": {error}'
    told = progress.condition(progress.PROGRESSING, "False", "ReplicaSetCreateError", text, now)
    kept = tuple(conditions.with_condition(status.conditions, told))
    return Plan(
        status=progress.encoded(msgspec.structs.replace(status, conditions=kept)),
        events=[EventNote("Warning", "ReplicaSetCreateError", text)],
    )


def why(rollout: Rollout, updated: int, available: int) -> str:
    """In words, what the rollout waits for."""
    wanted = rollout.wish.replicas
    if updated < wanted:
        return f"{updated} of {wanted} replicas are updated"
    if available < wanted:
        return f"{available} of {wanted} replicas are available"
    left = sum(one.status.replicas for one in rollout.old)
    return f"{left} old replicas are still there" if left else ""


def keys_of_pod(pod: Pod, view: View) -> Sequence[Key]:
    """Recreate waits for the end of each old pod; other strategies hear of pods through their sets."""
    owner = claims.controller_of(pod.metadata)
    if owner is None or owner.kind != "ReplicaSet":
        return ()
    replica_set = view.get(ReplicaSet, pod.metadata.namespace, owner.name)
    above = claims.controller_of(replica_set.metadata) if replica_set is not None else None
    if above is None:
        return ()
    deployment = view.get(Deployment, pod.metadata.namespace, above.name)
    if deployment is None or deployment.spec.strategy.type != "Recreate":
        return ()
    return [(pod.metadata.namespace, above.name)]


def keys_of_set(replica_set: ReplicaSet, view: View) -> Sequence[Key]:
    """The Deployments that may adopt a set which nobody controls."""
    meta = replica_set.metadata
    if claims.controller_of(meta) is not None:
        return ()
    return [
        (one.metadata.namespace, one.metadata.name)
        for one in view.list(Deployment, meta.namespace)
        if selectors.matches(one.spec.selector, meta.labels)
    ]


CONTROLLER = Controller(
    "deployment-controller",
    kind=DEPLOYMENT,
    plan=plan,
    owns=(REPLICASET,),
    watches={POD: keys_of_pod, REPLICASET: keys_of_set},
    writes=(REPLICASET, DEPLOYMENT),
    failed=failed,
)
