"""Relief under pressure: looks at the node every few seconds, says so, frees images, and ends one pod at a time.

Decisions are eviction.py's, local_storage.py's and image_gc.py's. What only a walk over the disk can tell is asked for
pods with a limit, and for all of them when the disk is short.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from knarr.base import logs
from knarr.base.clock import Clock
from knarr.base.errors import KnarrError
from knarr.base.tasks import Ready
from knarr.cri.messages.stats import ListContainerStatsRequest, ListPodSandboxStatsRequest
from knarr.cri.protocol import RuntimeService
from knarr.kubelet import eviction, image_gc, local_storage, node_signals, observed, stats
from knarr.kubelet.eviction import Candidate, Threshold, Watched
from knarr.kubelet.heartbeat import Heartbeat
from knarr.kubelet.image_gc import ImageCollector
from knarr.kubelet.local_storage import PodDisk
from knarr.kubelet.settings import KubeletSettings
from knarr.kubelet.shared import Aside
from knarr.kubelet.standing import Stop
from knarr.kubelet.worker import PodWorker

_log = logs.log("kubelet")
CHECK_SECONDS = 10.0
"""Upstream's housekeeping interval."""
TellNode = Callable[[Literal["Normal", "Warning"], str, str], None]
"""(type, reason, message) of an event about the node."""
Workers = Callable[[], Iterable[PodWorker]]
End = Callable[[str, Stop], None]
"""(uid, why) of a pod to end."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What relief acts through."""

    runtime: RuntimeService
    images: ImageCollector
    heartbeat: Heartbeat
    clock: Clock
    aside: Aside
    tell: TellNode


class Relief:
    def __init__(self, settings: KubeletSettings, tools: Tools, workers: Workers, end: End) -> None:
        self._settings = settings
        self._tools = tools
        self._workers = workers
        self._end = end
        self._watched = Watched()
        self._images_at = tools.clock.now()

    async def run(self, ready: Ready) -> None:
        ready()
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await self._end_excess()
                await self._collect_images()
                await self._relieve()
            except (KnarrError, OSError) as error:
                _log.warning("pressure was not relieved %s", logs.fields(error=error))

    async def _relieve(self) -> None:
        """Compare the node with its thresholds; act for the first that asks for it."""
        settings = self._settings
        found = node_signals.signals(settings.root_dir, settings.image_dir)
        seen = eviction.observed(
            settings.thresholds,
            found,
            self._watched,
            self._tools.clock.now(),
            timedelta(seconds=settings.pressure_transition_seconds),
        )
        self._watched = seen.watched
        self._tools.heartbeat.set_pressures(seen.conditions)
        for threshold in seen.acting[:1]:
            self._tools.tell("Warning", "EvictionThresholdMet", f"Attempting to reclaim {threshold.resource}")
            if not await self._free_disk(threshold):
                await self._evict(threshold)

    async def _free_disk(self, threshold: Threshold) -> bool:
        """Whether what finished pods left, and then unused images, were enough to end the pressure."""
        if threshold.condition != "DiskPressure":
            return False
        for worker in list(self._workers()):
            await worker.collect()
        if not self._is_met(threshold):
            return True
        await self._tools.images.free(1 << 62, age_seconds=0.0)
        return not self._is_met(threshold)

    def _is_met(self, threshold: Threshold) -> bool:
        return eviction.is_met(threshold, node_signals.signals(self._settings.root_dir, self._settings.image_dir))

    async def _evict(self, threshold: Threshold) -> None:
        """One pod at a time: while one is on its way, nobody knows yet whether it was enough."""
        now = self._tools.clock.now()
        if any(worker.is_stopping(now) for worker in self._workers()):
            return
        signal = node_signals.signals(self._settings.root_dir, self._settings.image_dir)[threshold.signal]
        candidates = await self._candidates(is_disk=threshold.condition == "DiskPressure")
        chosen = eviction.victim(threshold, signal, candidates, self._settings.eviction_grace_seconds_max)
        if chosen is not None:
            self._end(chosen[0].metadata.uid, chosen[1])

    async def _candidates(self, *, is_disk: bool) -> list[Candidate]:
        """The running pods and what they use."""
        workers = [worker for worker in self._workers() if worker.observed.running and not worker.is_ending]
        answer = await self._tools.runtime.list_container_stats(ListContainerStatsRequest())
        usages = stats.container_usages(answer.stats, stats.Rates())
        processes = await self._processes()
        disks = await self._measured(workers) if is_disk else {}
        return [
            Candidate(
                worker.pod,
                memory={one.container: one.usage.working_set for one in usages if one.uid == worker.uid},
                disk={
                    one.container: one.usage.disk + disks.get(worker.uid, PodDisk()).logs.get(one.container, 0)
                    for one in usages
                    if one.uid == worker.uid
                },
                volumes=sum(disks.get(worker.uid, PodDisk()).volumes.values()),
                inodes=disks.get(worker.uid, PodDisk()).inodes,
                processes=processes.get(worker.uid, 0),
            )
            for worker in workers
        ]

    async def _processes(self) -> dict[str, int]:
        """Processes by the pod's uid; none from a runtime that cannot say."""
        try:
            answer = await self._tools.runtime.list_pod_sandbox_stats(ListPodSandboxStatsRequest())
        except KnarrError:
            return {}
        return {
            observed.pod_uid(one.attributes.labels): one.linux.process.process_count.value
            for one in answer.stats
            if one.attributes and one.linux and one.linux.process and one.linux.process.process_count
        }

    async def _measured(self, workers: Sequence[PodWorker]) -> dict[str, PodDisk]:
        """What the pods take of the disk, walked beside the event loop."""
        settings, found = self._settings, dict[str, PodDisk]()

        def walk() -> None:
            for worker in workers:
                meta = worker.pod.metadata
                volumes = settings.pod_dir(worker.uid) / "volumes"
                log_dir = settings.log_dir(meta.namespace, meta.name, worker.uid)
                found[worker.uid] = local_storage.measured(worker.pod, volumes, log_dir)

        await self._tools.aside(walk)
        return found

    async def _end_excess(self) -> None:
        """End the pods that wrote more than they may."""
        limited = [w for w in self._workers() if w.observed.running and local_storage.is_limited(w.pod)]
        if not limited:
            return
        answer = await self._tools.runtime.list_container_stats(ListContainerStatsRequest())
        usages = stats.container_usages(answer.stats, stats.Rates())
        disks = await self._measured(limited)
        for worker in limited:
            layers = {one.container: one.usage.disk for one in usages if one.uid == worker.uid}
            why = local_storage.excess(worker.pod, disks[worker.uid], layers)
            if why is not None:
                self._end(worker.uid, why)

    async def _collect_images(self) -> None:
        """Every five minutes: note which images are used, let go what nobody has used for too long, and unused ones
        from a disk that is too full."""
        tools, settings = self._tools, self._settings
        now = tools.clock.now()
        if (now - self._images_at).total_seconds() < image_gc.CHECK_SECONDS:
            return
        self._images_at = now
        await tools.images.forget()
        disk = node_signals.signals(settings.root_dir, settings.image_dir).get("imagefs.available")
        wanted = image_gc.excess(disk, tools.images.policy) if disk is not None else 0
        if not wanted:
            return
        freed = await tools.images.free(wanted)
        if freed < wanted:
            text = f"Failed to garbage collect required amount of images. Attempted to free {wanted} bytes, but only "
            text += f"found {freed} bytes eligible to free."
            tools.tell("Warning", "FreeDiskSpaceFailed", text)
