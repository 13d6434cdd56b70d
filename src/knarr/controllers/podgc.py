"""Pod garbage: pods whose node is gone for good are deleted by force, because no kubelet will ever end them.

Also deleted: terminating pods that were never bound. Spec: "Pod Lifecycle: garbage collection of Pods".
A controller over nodes cannot say this (a deleted root is not planned), so the pods are asked one by one.
"""

from dataclasses import dataclass, field
from typing import Final

from knarr.base import logs
from knarr.base.errors import Conflict, KnarrError, NotFound
from knarr.base.tasks import Ready
from knarr.client.cache import Cache, Changed
from knarr.client.client import Client, DeleteOptions
from knarr.controllers.queue import WorkQueue
from knarr.kinds.core_config import NODE
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.pod import Pod

_log = logs.log("controllers")
QUARANTINE_SECONDS: Final = 40.0
"""A node that was deleted by mistake registers again within this time; upstream waits as long."""

Key = tuple[str, str]


@dataclass(slots=True)
class PodGarbage:
    """Deletes pods of nodes that do not exist."""

    client: Client
    cache: Cache
    _queue: WorkQueue[Key] = field(init=False)

    def __post_init__(self) -> None:
        self._queue = WorkQueue("pod-garbage-collector", self._work)
        self.cache.listen(self._changed, kinds=(POD, NODE))

    @property
    def is_idle(self) -> bool:
        return self._queue.is_idle

    async def run(self, ready: Ready) -> None:
        """Until cancelled."""
        for held in self.cache.held_all(POD):
            self._consider(held.key, held.node)
        await self._queue.run(ready)

    def _changed(self, changed: Changed) -> None:
        if changed.kind == POD and changed.new is not None:
            if changed.old is None or changed.old.node != changed.new.node:
                self._consider(changed.new.key, changed.new.node)
        elif changed.kind == NODE and changed.new is None:
            for pod in self.cache.on_node(Pod, changed.held.metadata.name):
                self._consider((pod.metadata.namespace, pod.metadata.name), pod.spec.node_name)

    def _consider(self, key: Key, node: str) -> None:
        if node and self.cache.held(NODE, "", node) is None:
            self._queue.add_after(key, QUARANTINE_SECONDS)

    async def _work(self, key: Key) -> None:
        held = self.cache.held(POD, *key)
        if held is None or not held.node or self.cache.held(NODE, "", held.node) is not None:
            return
        try:
            await self.client.get(NODE, "", held.node)
        except NotFound:
            pass
        except (KnarrError, OSError):
            self._queue.add_after(key, QUARANTINE_SECONDS)
            return
        else:
            return
        try:
            await self.client.delete(POD, *key, DeleteOptions(grace_period_seconds=0, uid=held.metadata.uid))
        except (NotFound, Conflict):
            return
        except (KnarrError, OSError) as error:
            _log.info("pod %s/%s of a gone node was not deleted %s", *key, logs.fields(error=error))
            self._queue.add_after(key, QUARANTINE_SECONDS)
