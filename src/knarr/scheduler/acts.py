"""Acts: what the scheduler writes: bindings, refusals in conditions and events, the deletion of preempted pods.

Each act is idempotent and bounded by WRITES_AT_ONCE. What to write is decided in schedule.py and preemption.py; when,
in runner.py.
"""

import asyncio
import contextlib
from typing import Final

from knarr.base.clock import Clock, rfc3339
from knarr.base.errors import KnarrError, NotFound
from knarr.client import events
from knarr.client.client import Client, DeleteOptions, Json
from knarr.client.events import EventRecorder, EventType
from knarr.kinds import volumes
from knarr.kinds.core_pod import POD
from knarr.kinds.core_storage import PERSISTENTVOLUME, PERSISTENTVOLUMECLAIM
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.storage import PersistentVolumeClaim

NAME: Final = "default-scheduler"
WRITES_AT_ONCE: Final = 32
"""Writes on their way: enough to fill the store's group commit."""
GATED: Final = "Scheduling is blocked due to non-empty scheduling gates"


class Acts:
    def __init__(self, client: Client, clock: Clock, recorder: EventRecorder) -> None:
        self._client = client
        self._clock = clock
        self._recorder = recorder
        self._writes = asyncio.Semaphore(WRITES_AT_ONCE)

    async def bind(self, pod: Pod, node: str) -> None:
        """Raises what the API answers: NotFound and Conflict mean that somebody else was there first."""
        meta = pod.metadata
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        async with self._writes:
            await self._client.create(POD, meta.namespace, body, name=meta.name, subresource="binding")
        message = f"Successfully assigned {meta.namespace}/{meta.name} to {node}"
        self._tell(pod, "Normal", "Scheduled", message, pod)

    async def bind_volume(self, claim: PersistentVolumeClaim, volume: str, node: str) -> None:
        """Reserve the volume for the claim, or ("") ask for one that can be used on the node; the binder completes."""
        meta = claim.metadata
        async with self._writes:
            if volume:
                reference = events.reference(PERSISTENTVOLUMECLAIM, meta)
                body: Json = {
                    "metadata": {"annotations": {volumes.BOUND_BY_CONTROLLER: "yes"}},
                    "spec": {"claimRef": reference},
                }
                await self._client.patch(PERSISTENTVOLUME, "", volume, body)
            else:
                body = {"metadata": {"uid": meta.uid, "annotations": {volumes.SELECTED_NODE: node}}}
                await self._client.patch(PERSISTENTVOLUMECLAIM, meta.namespace, meta.name, body)

    async def refuse(self, pod: Pod, message: str, nominated: str) -> None:
        """Say it in the pod's condition and in an event; `nominated` is the node being cleared for it, "" for none."""
        self._tell(pod, "Warning", "FailedScheduling", message, pod)
        status: Json = {"conditions": [self._condition(pod, "PodScheduled", "False", "Unschedulable", message)]}
        if nominated or pod.status.nominated_node_name:
            status["nominatedNodeName"] = nominated or None
        await self._patch(pod, status)

    async def gate(self, pod: Pod) -> None:
        """Say that the pod's gates hold it back."""
        await self._patch(
            pod, {"conditions": [self._condition(pod, "PodScheduled", "False", "SchedulingGated", GATED)]}
        )

    async def give_up_nomination(self, pod: Pod) -> None:
        """A more important pod took the room."""
        await self._patch(pod, {"nominatedNodeName": None})

    async def preempt(self, victim: Pod, preemptor: Pod, node: str) -> None:
        """Raises what the API answers to the deletion; a victim that is gone is fine."""
        meta = victim.metadata
        message = f"{preemptor.spec.scheduler_name or NAME}: preempting to accommodate a higher priority pod"
        await self._patch(
            victim,
            {"conditions": [self._condition(victim, "DisruptionTarget", "True", "PreemptionByScheduler", message)]},
        )
        with contextlib.suppress(NotFound):
            async with self._writes:
                await self._client.delete(POD, meta.namespace, meta.name, DeleteOptions(uid=meta.uid))
        told = f"Preempted by pod {preemptor.metadata.uid} on node {node}"
        self._tell(victim, "Normal", "Preempted", told, preemptor)

    def _tell(self, about: Pod, kind: EventType, reason: str, message: str, decided: Pod) -> None:
        """An event, in the name of the profile that decided about a pod."""
        profile = decided.spec.scheduler_name or NAME
        self._recorder.record(events.reference(POD, about.metadata), kind, reason, message, profile)

    def _condition(self, pod: Pod, kind: str, value: str, reason: str, message: str) -> Json:
        seen = {"observedGeneration": pod.metadata.generation} if pod.metadata.generation else {}
        now = rfc3339(self._clock.now())
        return {"type": kind, "status": value, "reason": reason, "message": message, "lastTransitionTime": now, **seen}

    async def _patch(self, pod: Pod, status: Json) -> None:
        """The pod may be gone by now; then nobody needs to be told."""
        meta = pod.metadata
        body = {"metadata": {"uid": meta.uid}, "status": status}
        with contextlib.suppress(KnarrError, OSError):
            async with self._writes:
                await self._client.patch(POD, meta.namespace, meta.name, body, patch="strategic", subresource="status")
