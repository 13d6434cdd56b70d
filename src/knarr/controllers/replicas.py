"""The engine of ReplicaSet and ReplicationController: keep the wanted number of pods.

Says how many and which; the kubelet says whether they are ready. What differs between the two kinds is a row
(`Replicated`). Spec: "ReplicaSet". Vocabulary: *claimed* pods are those that count, `crowd` is pods per node.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from knarr.base.clock import Instant
from knarr.base.errors import KnarrError
from knarr.client.client import DeleteOptions, Json
from knarr.client.view import View
from knarr.controllers import claims, conditions, pods, selectors, templates
from knarr.controllers.controller import Action, Controller, Create, Delete, EventNote, Key, Plan
from knarr.kinds.apps import REPLICASET
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.apps import ReplicaSet, ReplicationController
from knarr.kinds.lens.meta import LabelSelector
from knarr.kinds.lens.pod import Pod
from knarr.kinds.registry import Kind

BURST: Final = 500
"""The most pods that one plan creates or deletes, as upstream."""
ALWAYS: Final = frozenset({"replicas"})

Root = ReplicaSet | ReplicationController


@dataclass(frozen=True, slots=True)
class Replicated:
    """One kind of the engine: its name, row, selector, condition lens and related pods on a node."""

    name: str
    kind: Kind
    lens: type[Any]
    selector: Callable[[Any], LabelSelector | None]
    condition: type[Any]
    crowd: Callable[[Any, Sequence[Pod], View], Mapping[str, int]]


def controller(row: Replicated) -> Controller:
    """The controller of one kind."""
    return Controller(
        row.name,
        kind=row.kind,
        plan=lambda root, view, now: plan(row, root, view, now),
        owns=(POD,),
        watches={POD: lambda pod, view: orphan_keys(row, pod, view)},
        writes=(POD,),
        failed=lambda root, action, error, view, now: failed(row, root, (action, error), view, now),
    )


def orphan_keys(row: Replicated, pod: Pod, view: View) -> Sequence[Key]:
    """The roots that may adopt a pod which nobody controls."""
    if claims.controller_of(pod.metadata) is not None:
        return ()
    return [
        (root.metadata.namespace, root.metadata.name)
        for root in view.list(row.lens, pod.metadata.namespace)
        if selectors.matches(row.selector(root), pod.metadata.labels)
    ]


def plan(row: Replicated, root: Root, view: View, now: Instant) -> Plan:
    """Adopt and release; then create what is missing or delete what is too much."""
    claim = claimed(row, root, view)
    ending = terminating(row, root, view)
    wanted = 1 if root.spec.replicas is None else root.spec.replicas
    missing = wanted - len(claim.mine)
    actions = list(claim.actions)
    if root.metadata.deletion_timestamp is not None:
        missing = 0
    elif missing > 0:
        actions += creations(row, root, view, min(missing, BURST))
    elif missing < 0:
        doomed = pods.least_useful(claim.mine, row.crowd(root, claim.mine, view), now)
        actions += [deletion(pod) for pod in doomed[: min(-missing, BURST)]]
    kept = root.status.conditions if missing else conditions.without(root.status.conditions, "ReplicaFailure")
    return Plan(
        actions,
        status=status(root, claim.mine, ending, kept, now),
        again_at=pods.next_available(claim.mine, root.spec.min_ready_seconds, now),
        why=why(claim.mine, wanted, now),
    )


def failed(row: Replicated, root: Root, refused: tuple[Action, KnarrError], view: View, now: Instant) -> Plan:
    """A pod could not be created or deleted: an event and the condition ReplicaFailure say so."""
    action, error = refused
    if action.kind != POD or not isinstance(action, Create | Delete):
        return Plan()
    reason, verb = ("FailedCreate", "creating") if isinstance(action, Create) else ("FailedDelete", "deleting")
    failure = row.condition(
        type="ReplicaFailure",
        status="True",
        reason=reason,
        message=str(error),
        last_transition_time=conditions.moment(now),
    )
    kept = conditions.with_condition(root.status.conditions, failure)
    return Plan(
        status=status(root, claimed(row, root, view).mine, terminating(row, root, view), kept, now),
        events=[EventNote("Warning", reason, f"Error {verb}: {error}")],
    )


def claimed(row: Replicated, root: Root, view: View) -> claims.Claim[Pod]:
    """The active pods of the root and what must be done to own them."""
    meta = root.metadata
    claimant = claims.Claimant(row.kind, meta, row.selector(root), POD)
    orphans = view.owned(Pod, "", meta.namespace)
    return claims.claim(claimant, view.owned(Pod, meta.uid), orphans, is_wanted=pods.is_active)


def terminating(row: Replicated, root: Root, view: View) -> int | None:
    """How many of its pods are on their way out; None for a kind that does not say it."""
    if row.kind != REPLICASET:
        return None
    selector, uid = row.selector(root), root.metadata.uid
    return sum(
        pods.is_terminating(pod)
        and claims.is_controlled_by(pod.metadata, uid)
        and selectors.matches(selector, pod.metadata.labels)
        for pod in view.owned(Pod, uid)
    )


def creations(row: Replicated, root: Root, view: View, count: int) -> Sequence[Action]:
    """As many equal pods from the template."""
    meta = root.metadata
    template = templates.template(view.raw(row.lens, meta.namespace, meta.name))
    owner = claims.controller_reference(row.kind, meta)
    body = templates.pod(template, owner, generate_name=f"{meta.name}-")
    note = EventNote("Normal", "SuccessfulCreate", "Created pod: {name}")
    return [Create(POD, meta.namespace, body, note=note)] * count


def deletion(pod: Pod) -> Action:
    meta = pod.metadata
    note = EventNote("Normal", "SuccessfulDelete", "Deleted pod: {name}")
    return Delete(POD, meta.namespace, meta.name, DeleteOptions(uid=meta.uid), note)


def status(root: Root, mine: Sequence[Pod], ending: int | None, kept: Sequence[Any], now: Instant) -> Json:
    """The counts over the claimed pods, and over those that are ending."""
    template = root.spec.template
    labels = (template.metadata.labels if template else {}).items()
    return conditions.pruned(
        {
            "replicas": len(mine),
            "fullyLabeledReplicas": sum(labels <= pod.metadata.labels.items() for pod in mine),
            "readyReplicas": sum(pods.is_ready(pod) for pod in mine),
            "availableReplicas": sum(pods.is_available(pod, root.spec.min_ready_seconds, now) for pod in mine),
            "observedGeneration": root.metadata.generation,
            "conditions": conditions.encode(kept),
        },
        keep=ALWAYS,
    ) | ({} if ending is None else {"terminatingReplicas": ending})


def why(mine: Sequence[Pod], wanted: int, now: Instant) -> str:
    """In words, what keeps the root from its spec."""
    if len(mine) != wanted:
        return f"{len(mine)} of {wanted} pods exist"
    waiting = [pod.metadata.name for pod in mine if not pods.is_available(pod, 0, now)]
    return f"not ready: {', '.join(waiting)}" if waiting else ""


def count_by_node(found: Sequence[Pod]) -> Mapping[str, int]:
    """Active pods per node."""
    return Counter(pod.spec.node_name for pod in found if pods.is_active(pod))
