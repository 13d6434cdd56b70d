"""Pod garbage: pods that no kubelet will ever end are deleted by force, and ended ones past a threshold.

*Orphaned*: the node is gone for good. *Unscheduled*: terminating and never bound. *Out of service*: terminating on a
node that is not ready and carries OUT_OF_SERVICE. *Terminated*: more than TERMINATED_MAX have ended; evicted ones go
first, then the oldest. A controller over nodes cannot say this (a deleted root is not planned), so the pods are asked
one by one. Spec: "Pod Lifecycle: garbage collection of Pods", "Node Shutdowns: non-graceful node shutdown handling".
"""

from dataclasses import dataclass, field
from typing import Final

from knarr.base import logs
from knarr.base.clock import Clock
from knarr.base.errors import Conflict, KnarrError, NotFound
from knarr.base.tasks import Ready
from knarr.client.cache import Cache, Changed, Held
from knarr.client.client import Client, DeleteOptions, Json
from knarr.controllers import conditions, pods
from knarr.controllers.queue import WorkQueue
from knarr.kinds.core_config import NODE
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.node import Node
from knarr.kinds.lens.pod import Pod

_log = logs.log("controllers")
QUARANTINE_SECONDS: Final = 40.0
"""A node that was deleted by mistake registers again within this time; upstream waits as long."""
TERMINATED_MAX: Final = 12_500
"""Ended pods that are kept, as upstream's terminated-pod-gc-threshold."""
ENDED: Final = ("Succeeded", "Failed")
OUT_OF_SERVICE: Final = "node.kubernetes.io/out-of-service"
"""The taint by which somebody says that a node is off: what ends there ends now, without its kubelet."""

Key = tuple[str, str]
_Ended = tuple[bool, str]
"""The order in which ended pods go: False first, which is an evicted pod; then the older."""


@dataclass(slots=True)
class PodGarbage:
    """Deletes pods that nobody else will."""

    client: Client
    cache: Cache
    clock: Clock
    terminated_max: int = TERMINATED_MAX
    _queue: WorkQueue[Key] = field(init=False)
    _ended: dict[Key, _Ended] = field(init=False, default_factory=dict)

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
        elif changed.kind == NODE:
            if changed.new is None:
                for pod in self.cache.on_node(Pod, changed.held.metadata.name):
                    self._queue.add_after((pod.metadata.namespace, pod.metadata.name), QUARANTINE_SECONDS)
            elif _is_out_of_service(changed.new) and (changed.old is None or not _is_out_of_service(changed.old)):
                for pod in self.cache.on_node(Pod, changed.held.metadata.name):
                    if pod.metadata.deletion_timestamp is not None:
                        self._queue.add((pod.metadata.namespace, pod.metadata.name))

    def _consider(self, held: Held) -> None:
        is_ending = held.metadata.deletion_timestamp is not None
        if held.node:
            node = self.cache.held(NODE, "", held.node)
            if node is None:
                self._queue.add_after(held.key, QUARANTINE_SECONDS)
            elif is_ending and _is_out_of_service(node):
                self._queue.add(held.key)
        elif is_ending:
            self._queue.add(held.key)

    def _note_end(self, held: Held) -> None:
        pod = held.lens(Pod)
        if pod.status.phase not in ENDED or held.key in self._ended:
            return
        self._ended[held.key] = (pod.status.reason != "Evicted", str(pod.metadata.creation_timestamp))
        surplus = len(self._ended) - self.terminated_max
        if surplus > 0:
            for key in sorted(self._ended, key=lambda key: self._ended[key])[:surplus]:
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
        node = self.cache.held(NODE, "", held.node)
        if node is not None:
            return held.metadata.deletion_timestamp is not None and _is_out_of_service(node)
        try:
            await self.client.get(NODE, "", held.node)
        except NotFound:
            return True
        return False

    async def _delete(self, held: Held) -> None:
        """First the phase Failed: no kubelet will ever say it, and whoever counts ended pods must hear it."""
        pod = held.lens(Pod)
        if pod.status.phase not in ENDED:
            status: Json = {"phase": "Failed"}
            if held.node and self.cache.held(NODE, "", held.node) is None:
                status |= pods.disrupted(pod, "DeletionByPodGC", "PodGC: node no longer exists", self.clock.now())
            body = {"metadata": {"uid": held.metadata.uid}, "status": status}
            await self.client.patch(POD, *held.key, body, patch="strategic", subresource="status")
        await self.client.delete(POD, *held.key, DeleteOptions(grace_period_seconds=0, uid=held.metadata.uid))


def _place(held: Held) -> tuple[str, bool]:
    return held.node, held.metadata.deletion_timestamp is None


def _is_out_of_service(held: Held) -> bool:
    """Whether somebody says that the node is off, and it does not say that it is ready."""
    node = held.lens(Node)
    ready = conditions.find(node.status.conditions, "Ready")
    is_ready = ready is not None and ready.status == "True"
    return not is_ready and any(taint.key == OUT_OF_SERVICE for taint in node.spec.taints)
