"""Queue: which pods wait to be decided, in which order, and which change may help which refused pod.

Pods wait *ready*, or *backing off* (refused not long ago: they come when no other is ready), or *refused* (nothing they
wait for has changed). What eased is noted as it happens and weighed once per turn, in `reconsider`: a pod that no node
suits is tried again only if a node that changed suits it now, or if it asks something of pods or volumes that changed.
Pure: times come in, timers are the runner's. Spec: "Scheduling Framework: QueueingHint", "Pod priority and preemption".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from knarr.base.backoff import Backoff, BackoffRule
from knarr.base.clock import Instant
from knarr.kinds.lens.pod import Pod
from knarr.scheduler.asking import Asking
from knarr.scheduler.filters import inter_pod, spread
from knarr.scheduler.preemption import priority
from knarr.scheduler.schedule import Unschedulable
from knarr.scheduler.snapshot import Snapshot
from knarr.scheduler.standings import judged

Key = tuple[str, str]
"""Namespace and name."""
AROUND: Final = frozenset(
    {spread.SKEW, spread.NO_LABEL, inter_pod.AFFINITY, inter_pod.ANTI_AFFINITY, inter_pod.EXISTING}
)
"""Refusals that other pods' coming and going may end."""


@dataclass(frozen=True, slots=True)
class _Refused:
    asking: Asking
    waits_for_pods: bool
    waits_for_volumes: bool

    @property
    def pod(self) -> Pod:
        return self.asking.pod


class Queue:
    """The pods without a node that are this scheduler's."""

    def __init__(self, rule: BackoffRule) -> None:
        self._rule = rule
        self._waiting: dict[Key, Pod] = {}
        self._refused: dict[Key, _Refused] = {}
        self._backoffs: dict[Key, Backoff] = {}
        self._eased: dict[str, bool] = {}
        """Nodes with more room than before, or (True) that changed themselves."""
        self._pods_moved = False
        self._volumes_changed = False

    # -- pods ---------------------------------------------------------------------------------------------------------

    def put(self, key: Key, pod: Pod) -> None:
        """The pod is new or asks for something else: it is ready."""
        self._refused.pop(key, None)
        self._backoffs.pop(key, None)
        self._waiting[key] = pod

    def renew(self, key: Key, pod: Pod) -> bool:
        """A newer picture of a refused pod that asks the same; False where the pod is not refused."""
        refused = self._refused.get(key)
        if refused is None:
            return False
        asking = Asking(pod, refused.asking.profile, refused.asking.selector)
        self._refused[key] = _Refused(asking, refused.waits_for_pods, refused.waits_for_volumes)
        return True

    def drop(self, key: Key) -> None:
        """The pod is gone, has a node, or is not ours."""
        self._waiting.pop(key, None)
        self._refused.pop(key, None)
        self._backoffs.pop(key, None)

    def refuse(self, key: Key, asking: Asking, outcome: Unschedulable, now: Instant) -> None:
        """The pod fits nowhere now."""
        self._backoffs[key] = self._backoffs.get(key, Backoff()).failed(now, self._rule)
        waits_for_pods = any(not AROUND.isdisjoint(reasons) for reasons in outcome.reasons.values())
        self._refused[key] = _Refused(asking, waits_for_pods, asking.has_claims)

    def failed(self, key: Key, now: Instant) -> float:
        """Something went wrong with the pod; after that many seconds it may be `put` again."""
        backoff = self._backoffs[key] = self._backoffs.get(key, Backoff()).failed(now, self._rule)
        return backoff.delay(self._rule)

    def again(self, key: Key, pod: Pod) -> None:
        """The pod is tried again without having changed."""
        self._refused.pop(key, None)
        self._waiting[key] = pod

    def take(self, key: Key, pod: Pod) -> bool:
        """Take the pod out to decide about it; False if it changed or went since."""
        if self._waiting.get(key) is not pod:
            return False
        del self._waiting[key]
        return True

    def in_order(self, now: Instant) -> Iterator[tuple[Key, Pod]]:
        """Ready pods before those that back off; of each the higher priority first, then the older, then by name."""
        return iter(sorted(self._waiting.items(), key=lambda item: self._rank(item[0], item[1], now)))

    def _rank(self, key: Key, pod: Pod, now: Instant) -> tuple[object, ...]:
        backoff = self._backoffs.get(key)
        retry_at = backoff.retry_at(self._rule) if backoff is not None else None
        is_backing_off = retry_at is not None and retry_at > now
        return (is_backing_off, -priority(pod), str(pod.metadata.creation_timestamp), key)

    def pending(self, now: Instant) -> dict[str, int]:
        """How many pods wait, by upstream's names of its queues."""
        backing_off = sum(1 for key, pod in self._waiting.items() if self._rank(key, pod, now)[0])
        return {
            "active": len(self._waiting) - backing_off,
            "backoff": backing_off,
            "unschedulable": len(self._refused),
        }

    @property
    def has_refused(self) -> bool:
        return bool(self._refused)

    # -- what changed -------------------------------------------------------------------------------------------------

    def node_eased(self, name: str, *, is_itself: bool = False) -> None:
        """A pod left the node, or (`is_itself`) the node is new or another."""
        self._eased[name] = is_itself or self._eased.get(name, False)

    def pods_moved(self) -> None:
        """Pods came or went, or other things that decide which pods are where (nodes, namespaces)."""
        self._pods_moved = True

    def volumes_changed(self) -> None:
        self._volumes_changed = True

    def reconsider(self, snapshot: Snapshot) -> bool:
        """Let those wait whom the changes since the last call may help; whether there is anybody."""
        if not (self._eased or self._pods_moved or self._volumes_changed):
            return False
        known: dict[object, bool] = {}
        helped = [key for key, refused in self._refused.items() if self._may_help(refused, snapshot, known)]
        self._eased, self._pods_moved, self._volumes_changed = {}, False, False
        for key in helped:
            self._waiting[key] = self._refused.pop(key).pod
        return bool(helped)

    def flush(self) -> None:
        """Everybody is tried again: the net below the hints."""
        self._waiting.update({key: refused.pod for key, refused in self._refused.items()})
        self._refused.clear()

    def _may_help(self, refused: _Refused, snapshot: Snapshot, known: dict[object, bool]) -> bool:
        if refused.waits_for_pods and (self._pods_moved or self._eased):
            return True
        if refused.waits_for_volumes and (self._volumes_changed or self._eased):
            return True
        if snapshot.nominated_node(refused.pod) in self._eased:
            return True
        template = (refused.asking.profile.name, refused.asking.wanted)
        if template not in known:
            known[template] = self._suits_now(refused.asking, snapshot)
        return known[template]

    def _suits_now(self, asking: Asking, snapshot: Snapshot) -> bool:
        for name, is_itself in self._eased.items():
            state = snapshot.nodes.get(name)
            if state is not None:
                verdict = judged(asking, state, snapshot)
                if not verdict.reasons or (is_itself and verdict.can_preempt):
                    return True
        return False
