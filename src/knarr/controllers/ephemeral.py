"""Ephemeral volumes: a pod that describes a claim in its own spec gets it, named after pod and volume, and owns it.

The garbage collector removes it with the pod. A claim of that name which is somebody else's is never used: the pod
waits, and an event says so. Few pods have such volumes, so each is looked at when it comes, not planned with every
change. Spec: "Ephemeral Volumes: Generic ephemeral volumes".
"""

from dataclasses import dataclass, field
from typing import Final

from knarr.base import logs
from knarr.base.backoff import Backoff, BackoffRule
from knarr.base.clock import Clock
from knarr.base.errors import AlreadyExists, KnarrError, NotFound
from knarr.base.tasks import Ready
from knarr.client import events
from knarr.client.cache import Cache, Changed
from knarr.client.client import Client, Json
from knarr.client.events import EventRecorder
from knarr.controllers import claims
from knarr.controllers.queue import WorkQueue
from knarr.kinds import volumes
from knarr.kinds.core_pod import POD
from knarr.kinds.core_storage import PERSISTENTVOLUMECLAIM
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.storage import PersistentVolumeClaim

_log = logs.log("controllers")
NAME: Final = "ephemeral-volume-controller"
RETRY: Final = BackoffRule(first=0.5, cap=60.0, reset_after=300.0)

Key = tuple[str, str]


@dataclass(slots=True)
class EphemeralVolumes:
    """Makes the claims of pods that describe them."""

    client: Client
    cache: Cache
    clock: Clock
    recorder: EventRecorder
    _queue: WorkQueue[Key] = field(init=False)
    _backoffs: dict[Key, Backoff] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._queue = WorkQueue(NAME, self._work)
        self.cache.listen(self._changed, kinds=(POD, PERSISTENTVOLUMECLAIM))

    @property
    def is_idle(self) -> bool:
        return self._queue.is_idle

    async def run(self, ready: Ready) -> None:
        """Until cancelled."""
        for pod in self.cache.list(Pod):
            self._consider(pod)
        await self._queue.run(ready)

    def _changed(self, changed: Changed) -> None:
        if changed.kind == POD:
            if changed.new is None:
                self._backoffs.pop(changed.held.key, None)
                self._queue.forget(changed.held.key)
            elif changed.old is None:
                self._consider(changed.new.lens(Pod))
        elif changed.new is None:  # Deleted by mistake: the pod that owned it gets it again.
            owner = next((one for one in changed.held.metadata.owner_references if one.controller), None)
            if owner is not None and owner.kind == POD.kind:
                self._queue.add((changed.held.metadata.namespace, owner.name))

    def _consider(self, pod: Pod) -> None:
        if any(volume.ephemeral is not None for volume in pod.spec.volumes):
            self._queue.add((pod.metadata.namespace, pod.metadata.name))

    async def _work(self, key: Key) -> None:
        pod = self.cache.get(Pod, *key)
        if pod is None or pod.metadata.deletion_timestamp is not None:
            return
        try:
            for volume in pod.spec.volumes:
                if volume.ephemeral is not None:
                    await self._provide(pod, volume.name)
        except NotFound:
            return  # The pod went meanwhile.
        except (KnarrError, OSError) as error:
            _log.info("pod %s/%s lacks a claim %s", *key, logs.fields(error=error))
            self.recorder.record(events.reference(POD, pod.metadata), "Warning", "FailedBinding", f"ephemeral: {error}")
            backoff = self._backoffs[key] = self._backoffs.get(key, Backoff()).failed(self.clock.now(), RETRY)
            self._queue.add_after(key, backoff.delay(RETRY))
        else:
            self._backoffs.pop(key, None)

    async def _provide(self, pod: Pod, volume_name: str) -> None:
        """Make the claim of one volume, unless it is there and the pod's."""
        meta = pod.metadata
        name = volumes.ephemeral_claim_name(pod, volume_name)
        there = self.cache.get(PersistentVolumeClaim, meta.namespace, name)
        if there is None:
            live = await self.client.get(POD, meta.namespace, meta.name)
            if live["metadata"]["uid"] != meta.uid:
                return  # Another pod of the name came meanwhile; the view will bring it.
            try:
                await self.client.create(PERSISTENTVOLUMECLAIM, meta.namespace, claim_body(pod, live, volume_name))
            except AlreadyExists:
                self._queue.add_after((meta.namespace, meta.name), RETRY.first)  # Once the view shows whose it is.
            return
        if not claims.is_controlled_by(there.metadata, meta.uid):
            raise AlreadyExists(volumes.not_owned(pod, name))


def claim_body(pod: Pod, live: Json, volume_name: str) -> Json:
    """The claim that a pod's volume describes; `live` is the pod whole."""
    volume = next(one for one in live["spec"]["volumes"] if one["name"] == volume_name)
    template = volume["ephemeral"]["volumeClaimTemplate"]
    given = template.get("metadata") or {}
    metadata = {key: given[key] for key in ("annotations", "labels") if given.get(key)} | {
        "name": volumes.ephemeral_claim_name(pod, volume_name),
        "ownerReferences": [claims.controller_reference(POD, pod.metadata)],
    }
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": template["spec"]}
