"""Facts about pods that every workload controller asks: active, ready, available, and which one is least useful.

Spec: "Pod Lifecycle"; the ranking is that of "ReplicaSet: scaling down" with pod deletion cost.
"""

import functools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Final

from knarr.base.clock import Instant, rfc3339
from knarr.client.client import Json
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.pod_status import PodCondition

DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
# Ten digits hold every number of 32 bits; without a bound int() refuses the text of a hostile pod.
COST: Final = re.compile(r"0|-?[1-9][0-9]{0,9}", re.ASCII)
# Which phase dies first.
PHASE_RANK: Final[Mapping[str, int]] = {"Pending": 0, "Unknown": 1, "Running": 2}


def is_active(pod: Pod) -> bool:
    """Neither finished nor being deleted."""
    return pod.status.phase not in ("Succeeded", "Failed") and pod.metadata.deletion_timestamp is None


def condition(pod: Pod, name: str) -> PodCondition | None:
    return next((found for found in pod.status.conditions if found.type == name), None)


def disrupted(pod: Pod, reason: str, message: str, now: Instant) -> Json:
    """What a strategic patch of the status says of a pod that somebody ends; a Job's failure policy asks for it."""
    before = condition(pod, "DisruptionTarget")
    is_said = before is not None and before.status == "True"
    since = before.last_transition_time if before is not None and is_said else None
    said: Json = {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}
    if pod.metadata.generation:
        said["observedGeneration"] = pod.metadata.generation
    return {"conditions": [{**said, "lastTransitionTime": rfc3339(since or now)}]}


def is_ready(pod: Pod) -> bool:
    ready = condition(pod, "Ready")
    return ready is not None and ready.status == "True"


def available_at(pod: Pod, min_ready_seconds: int) -> Instant | None:
    """From when on the pod counts as available; None while it is not ready."""
    ready = condition(pod, "Ready")
    if ready is None or ready.status != "True" or pod.metadata.deletion_timestamp is not None:
        return None
    since = ready.last_transition_time or pod.metadata.creation_timestamp
    assert since is not None
    return since + timedelta(seconds=min_ready_seconds)


def is_available(pod: Pod, min_ready_seconds: int, now: Instant) -> bool:
    """Ready for at least `min_ready_seconds`."""
    if not min_ready_seconds:
        return is_ready(pod)
    at = available_at(pod, min_ready_seconds)
    return at is not None and at <= now


def next_available(found: Iterable[Pod], min_ready_seconds: int, now: Instant) -> Instant | None:
    """When the next ready pod becomes available."""
    if not min_ready_seconds:
        return None
    moments = (available_at(pod, min_ready_seconds) for pod in found)
    return min((moment for moment in moments if moment is not None and moment > now), default=None)


def is_terminating(pod: Pod) -> bool:
    """Being deleted and not finished yet."""
    return pod.metadata.deletion_timestamp is not None and pod.status.phase not in ("Succeeded", "Failed")


def restarts(pod: Pod) -> tuple[int, int]:
    """The highest restart count of its containers, and that of its sidecars."""
    sidecars = {one.name for one in pod.spec.init_containers if one.restart_policy == "Always"}
    statuses = (one for one in pod.status.init_container_statuses if one.name in sidecars)
    return (
        max((status.restart_count for status in pod.status.container_statuses), default=0),
        max((status.restart_count for status in statuses), default=0),
    )


def deletion_cost(pod: Pod) -> int:
    """The annotation's value; 0 where it is absent or no whole number of 32 bits."""
    text = pod.metadata.annotations.get(DELETION_COST, "0")
    cost = int(text) if COST.fullmatch(text) else 0
    return cost if -(2**31) <= cost < 2**31 else 0


def least_useful(found: Sequence[Pod], crowd: Mapping[str, int], now: Instant) -> list[Pod]:
    """The pods in the order in which they should die; `crowd` counts related pods per node."""

    def compare(left: Pod, right: Pod) -> int:
        return _compare(left, right, crowd, now)

    return sorted(found, key=functools.cmp_to_key(compare))


def _compare(left: Pod, right: Pod, crowd: Mapping[str, int], now: Instant) -> int:
    a, b = _standing(left, crowd), _standing(right, crowd)
    if a != b:
        return -1 if a < b else 1
    if is_ready(left):
        by_age = _younger_first(left, right, _ready_since(left), _ready_since(right), now)
        if by_age:
            return by_age
    if restarts(left) != restarts(right):
        return -1 if restarts(left) > restarts(right) else 1
    by_age = _younger_first(left, right, left.metadata.creation_timestamp, right.metadata.creation_timestamp, now)
    return by_age or (left.metadata.name > right.metadata.name) - (left.metadata.name < right.metadata.name)


def _standing(pod: Pod, crowd: Mapping[str, int]) -> tuple[bool, int, bool, int, int]:
    """Unassigned, pending, unready, cheap and crowded pods come first."""
    phase = PHASE_RANK.get(pod.status.phase, 0)
    return bool(pod.spec.node_name), phase, is_ready(pod), deletion_cost(pod), -crowd.get(pod.spec.node_name, 0)


def _ready_since(pod: Pod) -> Instant | None:
    ready = condition(pod, "Ready")
    return ready.last_transition_time if ready is not None else None


def _younger_first(left: Pod, right: Pod, since: Instant | None, other: Instant | None, now: Instant) -> int:
    """Ages compare by their magnitude (log2), so that the youngest is not always the victim; then by uid."""
    if since == other or since is None or other is None:
        return 0
    difference = _magnitude(since, now) - _magnitude(other, now)
    return difference or (-1 if left.metadata.uid < right.metadata.uid else 1)


def _magnitude(since: Instant, now: Instant) -> int:
    nanoseconds = (now - since) // timedelta(microseconds=1) * 1000  # The unit decides where one magnitude ends.
    return int(math.log2(nanoseconds)) if nanoseconds > 0 else -1
