"""Pods whose Job is gone: their tracking finalizer goes too, or they could never be deleted.

A Job that still exists does this itself (sync.py). Spec: "Job tracking with finalizers".
"""

from dataclasses import dataclass, field

from knarr.base import logs
from knarr.base.errors import Conflict, KnarrError, NotFound
from knarr.base.tasks import Ready
from knarr.client.cache import Cache, Changed, Held
from knarr.client.client import Client
from knarr.controllers.controller import Patch
from knarr.controllers.job import sync
from knarr.controllers.job.members import FINALIZER
from knarr.controllers.queue import WorkQueue
from knarr.kinds.batch import JOB
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.pod import Pod

_log = logs.log("controllers")
RETRY_SECONDS = 1.0

Key = tuple[str, str]


@dataclass(slots=True)
class LostPods:
    """Frees the pods of Jobs that do not exist."""

    client: Client
    cache: Cache
    _queue: WorkQueue[Key] = field(init=False)

    def __post_init__(self) -> None:
        self._queue = WorkQueue("job-tracking", self._work)
        self.cache.listen(self._changed, kinds=(POD, JOB))

    @property
    def is_idle(self) -> bool:
        return self._queue.is_idle

    async def run(self, ready: Ready) -> None:
        """Until cancelled."""
        for held in self.cache.held_all(POD):
            self._consider(held)
        await self._queue.run(ready)

    def _changed(self, changed: Changed) -> None:
        if changed.kind == POD and changed.new is not None:
            self._consider(changed.new)
        elif changed.kind == JOB and changed.new is None:
            for pod in self.cache.owned(Pod, changed.held.metadata.uid):
                self._queue.add((pod.metadata.namespace, pod.metadata.name))

    def _consider(self, held: Held) -> None:
        if FINALIZER in held.metadata.finalizers and self._is_lost(held):
            self._queue.add(held.key)

    def _is_lost(self, held: Held) -> bool:
        for reference in held.metadata.owner_references:
            if reference.controller and reference.kind == JOB.kind:
                job = self.cache.held(JOB, held.metadata.namespace, reference.name)
                return job is None or job.metadata.uid != reference.uid
        return True

    async def _work(self, key: Key) -> None:
        held = self.cache.held(POD, *key)
        if held is None or FINALIZER not in held.metadata.finalizers or not self._is_lost(held):
            return
        try:
            if not await self._is_really_lost(held):
                self._queue.add_after(key, RETRY_SECONDS)
                return
            action = sync.release(held.lens(Pod))
            assert isinstance(action, Patch)
            await self.client.patch(POD, *key, action.body)
        except (NotFound, Conflict):
            return  # Gone, or changed: the change brings it back here.
        except (KnarrError, OSError) as error:
            _log.info("pod %s/%s kept its finalizer %s", *key, logs.fields(error=error))
            self._queue.add_after(key, RETRY_SECONDS)

    async def _is_really_lost(self, held: Held) -> bool:
        """Ask the server: the view may know a pod before its Job."""
        owner = next((one for one in held.metadata.owner_references if one.controller), None)
        if owner is None:
            return True
        try:
            live = await self.client.get(JOB, held.metadata.namespace, owner.name)
        except NotFound:
            return True
        return bool(live["metadata"]["uid"] != owner.uid)
