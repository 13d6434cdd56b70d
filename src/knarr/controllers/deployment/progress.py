"""The Deployment's status: counts, Available, Progressing with its deadline, ReplicaFailure.

Reasons and messages are upstream's: kubectl rollout status and others read them. Pure.
Spec: "Deployment status", progressDeadlineSeconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import msgspec

from knarr.base.clock import Instant
from knarr.client.client import Json
from knarr.controllers import conditions
from knarr.controllers.deployment.picture import Wish
from knarr.kinds.lens.apps import Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet

AVAILABLE, PROGRESSING, REPLICA_FAILURE = "Available", "Progressing", "ReplicaFailure"
COMPLETE: Final = "NewReplicaSetAvailable"
TIMED_OUT: Final = "ProgressDeadlineExceeded"
NO_DEADLINE: Final = 2**31 - 1

Conditions = Sequence[DeploymentCondition]


@dataclass(frozen=True, slots=True)
class Seen:
    """The Deployment, its wish, its sets (the new one among them, if there is one) and the moment."""

    deployment: Deployment
    wish: Wish
    sets: Sequence[ReplicaSet]
    new: ReplicaSet | None
    now: Instant


def has_deadline(deployment: Deployment) -> bool:
    seconds = deployment.spec.progress_deadline_seconds
    return seconds is not None and seconds != NO_DEADLINE


def condition(name: str, status: str, reason: str, message: str, now: Instant) -> DeploymentCondition:
    """A condition that changes now."""
    moment = conditions.moment(now)
    return DeploymentCondition(
        type=name, status=status, reason=reason, message=message, last_update_time=moment, last_transition_time=moment
    )


def counted(seen: Seen, current: Conditions) -> DeploymentStatus:
    """The counts, and Available from them."""
    sets = seen.sets
    available = sum(one.status.available_replicas for one in sets)
    total = sum(one.status.replicas for one in sets)
    if available >= seen.wish.available_min:
        ready = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        ready = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    return DeploymentStatus(
        observed_generation=seen.deployment.metadata.generation,
        replicas=total,
        updated_replicas=seen.new.status.replicas if seen.new else 0,
        ready_replicas=sum(one.status.ready_replicas for one in sets),
        available_replicas=available,
        unavailable_replicas=max(0, total - available),
        terminating_replicas=_terminating(sets),
        collision_count=seen.deployment.status.collision_count,
        conditions=tuple(conditions.with_condition(current, condition(AVAILABLE, *ready, seen.now))),
    )


def _terminating(sets: Sequence[ReplicaSet]) -> int | None:
    """The sum, where every set has said its part."""
    counts = [one.status.terminating_replicas for one in sets]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def is_complete(wish: Wish, status: DeploymentStatus) -> bool:
    """Every wanted pod is new and available, and no other is left."""
    return status.updated_replicas == status.replicas == status.available_replicas == wish.replicas


def of_rollout(seen: Seen, current: Conditions) -> DeploymentStatus:
    """The status while a rollout may run: Progressing tells how it goes."""
    status = counted(seen, current)
    found = list(status.conditions)
    if not has_deadline(seen.deployment):
        found = list(conditions.without(found, PROGRESSING))
    else:
        found = list(_progressing(seen, status, found))
    return msgspec.structs.replace(status, conditions=tuple(_failures(seen, found)))


def _progressing(seen: Seen, status: DeploymentStatus, found: Conditions) -> Conditions:
    current = conditions.find(found, PROGRESSING)
    if current is not None and current.reason == COMPLETE and status.replicas == status.updated_replicas:
        return found  # A finished rollout does not start over because a pod is lost.
    who = f'ReplicaSet "{seen.new.metadata.name}"' if seen.new else f'Deployment "{seen.deployment.metadata.name}"'
    if is_complete(seen.wish, status):
        done = condition(PROGRESSING, "True", COMPLETE, f"{who} has successfully progressed.", seen.now)
        return conditions.with_condition(found, done)
    if _has_progressed(seen.deployment.status, status):
        moved = condition(PROGRESSING, "True", "ReplicaSetUpdated", f"{who} is progressing.", seen.now)
        if current is not None and current.status == "True":
            moved = msgspec.structs.replace(moved, last_transition_time=current.last_transition_time)
        return [*conditions.without(found, PROGRESSING), moved]
    if is_timed_out(seen.deployment, current, seen.now):
        late = condition(PROGRESSING, "False", TIMED_OUT, f"{who} has timed out progressing.", seen.now)
        return conditions.with_condition(found, late)
    return found


def _has_progressed(before: DeploymentStatus, after: DeploymentStatus) -> bool:
    return (
        after.updated_replicas > before.updated_replicas
        or after.replicas - after.updated_replicas < before.replicas - before.updated_replicas
        or after.ready_replicas > before.ready_replicas
        or after.available_replicas > before.available_replicas
    )


def deadline_at(deployment: Deployment, progressing: DeploymentCondition | None) -> Instant | None:
    """When the rollout will have taken too long; None where nothing runs or no deadline is set."""
    if not has_deadline(deployment) or progressing is None or progressing.reason in (COMPLETE, TIMED_OUT):
        return None
    since = progressing.last_update_time or progressing.last_transition_time
    if since is None:
        return None
    return since + timedelta(seconds=deployment.spec.progress_deadline_seconds or 0)


def is_timed_out(deployment: Deployment, progressing: DeploymentCondition | None, now: Instant) -> bool:
    if progressing is not None and progressing.reason == TIMED_OUT:
        return True
    at = deadline_at(deployment, progressing)
    return at is not None and at < now


def _failures(seen: Seen, found: Conditions) -> Conditions:
    """ReplicaFailure as the new set reports it, else as any other does."""
    ordered = [*([seen.new] if seen.new else []), *seen.sets]
    reported = (conditions.find(one.status.conditions, REPLICA_FAILURE) for one in ordered)
    failure = next((one for one in reported if one is not None), None)
    if failure is None:
        return conditions.without(found, REPLICA_FAILURE)
    moment = failure.last_transition_time
    told = DeploymentCondition(
        type=REPLICA_FAILURE,
        status=failure.status,
        reason=failure.reason,
        message=failure.message,
        last_transition_time=moment,
        last_update_time=moment,
    )
    return conditions.with_condition(found, told)


def paused(deployment: Deployment, now: Instant) -> Conditions:
    """The conditions after a pause or resume was noticed; a pause stops the deadline's clock."""
    found = deployment.status.conditions
    if not has_deadline(deployment):
        return found
    current = conditions.find(found, PROGRESSING)
    if current is not None and current.reason == TIMED_OUT:
        return found
    was_paused = current is not None and current.reason == "DeploymentPaused"
    if deployment.spec.paused and not was_paused:
        told = condition(PROGRESSING, "Unknown", "DeploymentPaused", "Deployment is paused", now)
        return conditions.with_condition(found, told)
    if was_paused and not deployment.spec.paused:
        told = condition(PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed", now)
        return conditions.with_condition(found, told)
    return found


def encoded(status: DeploymentStatus) -> Json:
    """As JSON; zero values are left out, but counts that may be unknown stay."""
    plain = {key: value for key, value in msgspec.to_builtins(status).items() if key != "conditions"}
    plain["conditions"] = conditions.encode(status.conditions)
    kept = {name for name in ("collisionCount", "terminatingReplicas") if plain[name] is not None}
    return conditions.pruned(plain, keep=frozenset(kept))
