"""PodDisruptionBudget: how many of the chosen pods may be disrupted now.

The eviction subresource asks this status and notes what it lets go in `disruptedPods`. Expected pods come from the
scale of the pods' controllers (of a Deployment's set: the Deployment), so that a pod which is missing counts as
unhealthy. Spec: "Pod disruption budgets".
"""

import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import msgspec

from knarr.base.clock import Instant, rfc3339
from knarr.client.client import Json
from knarr.client.view import View
from knarr.controllers import claims, conditions, pods, selectors
from knarr.controllers.controller import Controller, EventNote, Key, Plan
from knarr.kinds.apps import DEPLOYMENT, REPLICASET, REPLICATIONCONTROLLER, STATEFULSET
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.apps import Deployment, ReplicaSet, ReplicationController
from knarr.kinds.lens.meta import Condition
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.policy import PodDisruptionBudget
from knarr.kinds.lens.sets import StatefulSet
from knarr.kinds.policy import PODDISRUPTIONBUDGET

DELETION_TIMEOUT: Final = timedelta(minutes=2)
"""A pod that was let go and is still there after this time counts again."""
Scaled = Deployment | ReplicaSet | ReplicationController | StatefulSet
UNMANAGED: Final = (
    "Pods selected by this PodDisruptionBudget (selector: {selector}) were found to be unmanaged. As a result, the "
    "status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account for these "
    'pods please set ".spec.minAvailable" field of the PDB to an integer value.'
)
ALWAYS: Final = frozenset({"disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"})


def plan(budget: PodDisruptionBudget, view: View, now: Instant) -> Plan:
    """Count expected, desired and healthy pods."""
    meta, spec = budget.metadata, budget.spec
    chosen = [pod for pod in view.list(Pod, meta.namespace) if selectors.matches(spec.selector, pod.metadata.labels)]
    if not chosen:
        events = [EventNote("Normal", "NoPods", "No matching pods found")]
    else:
        events = []
    try:
        expected, unmanaged = expected_pods(budget, chosen, view)
    except NoScale as error:
        return unsynced(budget, error, now)
    desired = desired_healthy(budget, expected)
    disrupted = {name: at for name, at in budget.status.disrupted_pods.items() if _is_on_its_way(name, at, chosen, now)}
    healthy = sum(
        pods.is_ready(pod) and pod.metadata.deletion_timestamp is None and pod.metadata.name not in disrupted
        for pod in chosen
        if pod.status.phase not in ("Succeeded", "Failed")
    )
    allowed = max(0, healthy - desired) if expected > 0 else 0
    condition = allowed_condition(budget, allowed, now)
    status: Json = conditions.pruned(
        {
            "currentHealthy": healthy,
            "desiredHealthy": desired,
            "expectedPods": expected,
            "disruptionsAllowed": allowed,
            "disruptedPods": {name: rfc3339(at) for name, at in disrupted.items()},
            "observedGeneration": meta.generation,
            "conditions": conditions.encode(condition),
        },
        keep=ALWAYS,
    )
    again_at = min((at + DELETION_TIMEOUT for at in disrupted.values()), default=None)
    told = [] if chosen and budget.status.expected_pods == expected else events
    if unmanaged:
        told = [*told, EventNote("Warning", "UnmanagedPods", UNMANAGED.format(selector=selectors.text(spec.selector)))]
    why = "" if allowed else f"no pod may go: {healthy} of {expected} are healthy, {desired} must be"
    why = f"unmanaged pods are not counted: {unmanaged}" if unmanaged else why
    return Plan(status=status, events=told, again_at=again_at, why=why)


class NoScale(Exception):
    """A pod's controller cannot say how many pods there should be."""


def unsynced(budget: PodDisruptionBudget, error: NoScale, now: Instant) -> Plan:
    """Nobody may be disrupted while it is not known how many pods there should be."""
    condition = Condition(
        type="DisruptionAllowed",
        status="False",
        reason="SyncFailed",
        message=str(error),
        observed_generation=budget.metadata.generation,
        last_transition_time=conditions.moment(now),
    )
    found = conditions.encode(conditions.with_condition(budget.status.conditions, condition))
    plain: Json = msgspec.to_builtins(budget.status)
    plain |= {"disruptedPods": {name: rfc3339(at) for name, at in budget.status.disrupted_pods.items()}}
    status = conditions.pruned(plain | {"disruptionsAllowed": 0, "conditions": found}, keep=ALWAYS)
    text = f"Failed to calculate the number of expected pods: {error}"
    return Plan(status=status, events=[EventNote("Warning", "CalculateExpectedPodCountFailed", text)], why=f"{error}")


def expected_pods(budget: PodDisruptionBudget, chosen: Sequence[Pod], view: View) -> tuple[int, int]:
    """(how many pods there should be, how many have no controller that says so)."""
    spec = budget.spec
    if spec.max_unavailable is None and isinstance(spec.min_available, int):
        return len(chosen), 0
    scales: dict[str, int] = {}
    unmanaged = 0
    for pod in chosen:
        scale = _scale(pod, view)
        if scale is None:
            unmanaged += 1
        else:
            scales[scale[0]] = scale[1]
    return sum(scales.values()), unmanaged


def _scale(pod: Pod, view: View) -> tuple[str, int] | None:
    """(uid, wanted pods) of what scales the pod; None for a pod without a controller."""
    owner = claims.controller_of(pod.metadata)
    if owner is None:
        return None
    key = (pod.metadata.namespace, owner.name)
    root: Scaled | None
    match owner.kind:
        case "ReplicaSet":
            root = _above(view.get(ReplicaSet, *key), view)
        case "ReplicationController":
            root = view.get(ReplicationController, *key)
        case "StatefulSet":
            root = view.get(StatefulSet, *key)
        case kind:
            resource = f"{kind.lower()}s.{owner.api_version.rpartition('/')[0]}".rstrip(".")
            raise NoScale(f"{resource} does not implement the scale subresource")
    if root is None:
        raise NoScale(f'found no controllers for pod "{pod.metadata.name}"')
    return root.metadata.uid, 1 if root.spec.replicas is None else root.spec.replicas


def _above(replica_set: ReplicaSet | None, view: View) -> ReplicaSet | Deployment | None:
    """The Deployment of a set; the set itself where it has none."""
    owner = claims.controller_of(replica_set.metadata) if replica_set is not None else None
    if replica_set is None or owner is None or owner.kind != DEPLOYMENT.kind:
        return replica_set
    return view.get(Deployment, replica_set.metadata.namespace, owner.name)


def desired_healthy(budget: PodDisruptionBudget, expected: int) -> int:
    """minAvailable, or what maxUnavailable leaves; percentages are rounded up."""
    spec = budget.spec
    if spec.max_unavailable is not None:
        return max(0, expected - _scaled(spec.max_unavailable, expected))
    return _scaled(spec.min_available, expected) if spec.min_available is not None else 0


def _scaled(value: int | str, total: int) -> int:
    return value if isinstance(value, int) else math.ceil(total * int(value.removesuffix("%")) / 100)


def _is_on_its_way(name: str, at: Instant, chosen: Sequence[Pod], now: Instant) -> bool:
    pod = next((one for one in chosen if one.metadata.name == name), None)
    return pod is not None and pod.metadata.deletion_timestamp is None and at + DELETION_TIMEOUT > now


def allowed_condition(budget: PodDisruptionBudget, allowed: int, now: Instant) -> Sequence[Condition]:
    """DisruptionAllowed says whether an eviction would pass."""
    condition = Condition(
        type="DisruptionAllowed",
        status=str(allowed > 0),
        reason="SufficientPods" if allowed > 0 else "InsufficientPods",
        observed_generation=budget.metadata.generation,
        last_transition_time=conditions.moment(now),
    )
    found = conditions.with_condition(budget.status.conditions, condition)
    seen = budget.metadata.generation
    return [
        msgspec.structs.replace(one, observed_generation=seen) if one.type == condition.type else one for one in found
    ]


def pod_keys(pod: Pod, view: View) -> Sequence[Key]:
    """The budgets that choose a pod."""
    return [
        (one.metadata.namespace, one.metadata.name)
        for one in view.list(PodDisruptionBudget, pod.metadata.namespace)
        if selectors.matches(one.spec.selector, pod.metadata.labels)
    ]


def owner_keys(root: Scaled, view: View) -> Sequence[Key]:
    """The budgets that choose a pod of this root."""
    if not view.count(PODDISRUPTIONBUDGET, root.metadata.namespace):
        return ()
    holders = [root] if not isinstance(root, Deployment) else view.owned(ReplicaSet, root.metadata.uid)
    keys = {key for one in holders for pod in view.owned(Pod, one.metadata.uid) for key in pod_keys(pod, view)}
    return sorted(keys)


CONTROLLER = Controller(
    "disruption-controller",
    kind=PODDISRUPTIONBUDGET,
    plan=plan,
    watches={
        POD: pod_keys,
        DEPLOYMENT: owner_keys,
        REPLICASET: owner_keys,
        REPLICATIONCONTROLLER: owner_keys,
        STATEFULSET: owner_keys,
    },
)
