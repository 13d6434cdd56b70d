"""Pod garbage: pods that no kubelet will ever end are deleted by force, and ended ones past a threshold.

*Orphaned*: the node is gone for good. *Unscheduled*: terminating and never bound. *Terminated*: more than
TERMINATED_MAX have ended; the oldest go. A controller over nodes cannot say this (a deleted root is not planned), so
the pods are asked one by one. Spec: "Pod Lifecycle: garbage collection of Pods".
"""

from dataclasses import dataclass, field
from typing import Final

from knarr.base import logs
from knarr.base.clock import Clock, Instant
from knarr.base.errors import Conflict, KnarrError, NotFound
from knarr.base.tasks import Ready
from knarr.client.cache import Cache, Changed, Held
from knarr.client.client import Client, DeleteOptions
from knarr.controllers import conditions
from knarr.controllers.queue import WorkQueue
from knarr.kinds.core_config import NODE
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.pod_status import PodCondition

_log = logs.log("controllers")
QUARANTINE_SECONDS: Final = 40.0
"""A node that was deleted by mistake registers again within this time; upstream waits as long."""
TERMINATED_MAX: Final = 12_500
"""Ended pods that are kept, as upstream's terminated-pod-gc-threshold."""
ENDED: Final = ("Succeeded", "Failed")

Key = tuple[str, str]


@dataclass(slots=True)
class PodGarbage:
    """Deletes pods that nobody else will."""

    client: Client
    cache: Cache
    clock: Clock
    terminated_max: int = TERMINATED_MAX
    _queue: WorkQueue[Key] = field(init=False)
    _ended: dict[Key, Instant | None] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._queue = WorkQueue("pod-garbage-collector", self._work)
        self.cache.listen(self._changed, kinds=(POD, NODE))

    @property
    def is_idle(self) -> bool:
        return self._queue.is_idle

    async def run(self, ready: Ready) -> None:
        """Until cancelled."""
        for held in self.cache.held_all(POD):
            self._consider(held)
            self._note_end(held)
        await self._queue.run(ready)

    def _changed(self, changed: Changed) -> None:
        if changed.kind == POD:
            if changed.new is None:
                self._ended.pop(changed.held.key, None)
            else:
                self._note_end(changed.new)
                if changed.old is None or _place(changed.old) != _place(changed.new):
                    self._consider(changed.new)
        elif changed.kind == NODE and changed.new is None:
            for pod in self.cache.on_node(Pod, changed.held.metadata.name):
                self._queue.add_after((pod.metadata.namespace, pod.metadata.name), QUARANTINE_SECONDS)

    def _consider(self, held: Held) -> None:
        if held.node:
            if self.cache.held(NODE, "", held.node) is None:
                self._queue.add_after(held.key, QUARANTINE_SECONDS)
        elif held.metadata.deletion_timestamp is not None:
            self._queue.add(held.key)

    def _note_end(self, held: Held) -> None:
        pod = held.lens(Pod)
        if pod.status.phase not in ENDED or held.key in self._ended:
            return
        self._ended[held.key] = pod.metadata.creation_timestamp
        surplus = len(self._ended) - self.terminated_max
        if surplus > 0:
            for key in sorted(self._ended, key=lambda key: str(self._ended[key]))[:surplus]:
                self._queue.add(key)

    async def _work(self, key: Key) -> None:
        held = self.cache.held(POD, *key)
        if held is None:
            return
        try:
            if await self._is_garbage(held):
                await self._delete(held)
        except (NotFound, Conflict):
            return
        except (KnarrError, OSError) as error:
            _log.info("pod %s/%s was not collected %s", *key, logs.fields(error=error))
            self._queue.add_after(key, QUARANTINE_SECONDS)

    async def _is_garbage(self, held: Held) -> bool:
        if not held.node:
            return held.metadata.deletion_timestamp is not None
        if held.key in self._ended and len(self._ended) > self.terminated_max:
            return True
        if self.cache.held(NODE, "", held.node) is not None:
            return False
        try:
            await self.client.get(NODE, "", held.node)
        except NotFound:
            return True
        return False

    async def _delete(self, held: Held) -> None:
        pod = held.lens(Pod)
        if held.node and pod.status.phase not in ENDED:
            # Job's failure policies ask for this condition.
            disrupted = PodCondition(
                type="DisruptionTarget",
                status="True",
                reason="DeletionByPodGC",
                message="PodGC: node no longer exists",
                last_transition_time=conditions.moment(self.clock.now()),
            )
            found = conditions.encode(conditions.with_condition(pod.status.conditions, disrupted))
            body = {"metadata": {"uid": held.metadata.uid}, "status": {"phase": "Failed", "conditions": found}}
            await self.client.patch(POD, *held.key, body, subresource="status")
        await self.client.delete(POD, *held.key, DeleteOptions(grace_period_seconds=0, uid=held.metadata.uid))


def _place(held: Held) -> tuple[str, bool]:
    return held.node, held.metadata.deletion_timestamp is None
