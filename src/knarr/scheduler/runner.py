"""The acting half of the scheduler: takes pods from the queue, binds what fits, says why the rest waits.

Woken by changes alone. Decisions are schedule.py's and preemption.py's, writes acts.py's; what is known of the cluster
is mirror.py's, who is tried again and when queue.py's.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Final

from knarr.base import logs
from knarr.base.backoff import BackoffRule
from knarr.base.clock import Clock
from knarr.base.errors import Conflict, DeadlineExceeded, KnarrError, NotFound
from knarr.base.tasks import Ready
from knarr.client.cache import Cache
from knarr.client.client import Client
from knarr.client.events import EventRecorder
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.policy import PodDisruptionBudget
from knarr.kinds.registry import Kind
from knarr.kinds.volumes import claim_names
from knarr.scheduler import acts, figures, mirror
from knarr.scheduler.acts import Acts
from knarr.scheduler.mirror import Mirror
from knarr.scheduler.preemption import NoPreemption, Preemption, preempt, priority
from knarr.scheduler.profile import DEFAULT_CONFIGURATION, DEFAULT_NAME, Configuration, Profile
from knarr.scheduler.queue import Key, Queue
from knarr.scheduler.schedule import Bound, Unschedulable, asking_of, schedule
from knarr.scheduler.volumes import Promise

_log = logs.log("scheduler")

NAME: Final = acts.NAME
KINDS: Final[Sequence[Kind]] = mirror.KINDS
DECIDED_AT_ONCE: Final = 64
"""Decisions between two turns of the others: about 20 ms of computing."""
FLUSH_SECONDS: Final = 300.0
"""However wrong a hint was, nobody stays refused longer without a new try; upstream waits as long."""


class Scheduler:
    """Schedules pods whose spec.schedulerName is one of the configuration's profiles."""

    def __init__(
        self,
        client: Client,
        cache: Cache,
        clock: Clock,
        recorder: EventRecorder,
        configuration: Configuration = DEFAULT_CONFIGURATION,
    ) -> None:
        self._acts = Acts(client, clock, recorder)
        self._cache = cache
        self._clock = clock
        self._profiles = configuration.profiles
        rule = BackoffRule(first=configuration.backoff_first_seconds, cap=configuration.backoff_max_seconds)
        self._queue = Queue(rule)
        self._mirror = Mirror(cache, self._queue, configuration.profiles)
        self._snapshot = self._mirror.snapshot
        self._flush: asyncio.TimerHandle | None = None
        self._figures = figures.Figures()

    def lines(self) -> list[str]:
        """Metrics in Prometheus' text form."""
        return self._figures.lines(self._queue.pending(self._clock.now()))

    async def run(self, ready: Ready) -> None:
        """Schedule until cancelled; the cache must have been listed before."""
        self._mirror.begin()
        ready()
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await self._mirror.wake.wait()
                    self._mirror.wake.clear()
                    await self._turn(group)
        finally:
            if self._flush is not None:
                self._flush.cancel()

    async def _turn(self, group: asyncio.TaskGroup) -> None:
        """Decide about everybody who waits now."""
        self._queue.reconsider(self._snapshot)
        for count, (key, pod) in enumerate(self._queue.in_order(self._clock.now()), 1):
            # What changed or went while others were decided waits for the next turn.
            if self._queue.take(key, pod):
                self._decide(group, key, pod)
            if count % DECIDED_AT_ONCE == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(0)

    def _profile(self, pod: Pod) -> Profile:
        return self._profiles[pod.spec.scheduler_name or DEFAULT_NAME]

    def _decide(self, group: asyncio.TaskGroup, key: Key, pod: Pod) -> None:
        name, profile = f"{key[0]}/{key[1]}", self._profile(pod)
        if pod.spec.scheduling_gates and profile.is_gating:
            if not _says_gated(pod):
                group.create_task(self._acts.gate(pod), name=f"gate {name}")
            return
        began = time.perf_counter()
        try:
            outcome = schedule(pod, self._snapshot, profile)
        except Exception:
            self._figures.attempted(profile.name, figures.ERROR, began)
            # One pod that nobody foresaw must not end the control process, nor keep the others from being placed.
            _log.exception("%s crashed the scheduler", name)
            self._try_later(key)
            return
        match outcome:
            case Bound(node):
                self._figures.attempted(profile.name, figures.SCHEDULED, began)
                group.create_task(self._bind(key, pod, node, self._assume(pod, node)), name=f"bind {name}")
            case Unschedulable():
                self._figures.attempted(profile.name, figures.UNSCHEDULABLE, began)
                self._queue.refuse(key, asking_of(pod, self._snapshot, profile), outcome, self._clock.now())
                self._flush_later()
                self._refuse(group, pod, outcome)

    # -- binding ------------------------------------------------------------------------------------------------------

    def _assume(self, pod: Pod, node: str) -> tuple[Promise, ...]:
        """Count the pod on its node, and the volumes that are chosen for it as taken."""
        self._mirror.assumed[pod.metadata.uid] = node
        self._snapshot.nominated.pop(pod.metadata.uid, None)
        volumes = self._snapshot.volumes
        promises = volumes.promises(pod, self._snapshot.nodes[node].node) if claim_names(pod) else ()
        volumes.promise(promises or ())
        self._snapshot.place(pod, node)
        return promises or ()

    async def _bind(self, key: Key, pod: Pod, node: str, promises: tuple[Promise, ...]) -> None:
        try:
            if promises:
                await self._bind_volumes(key, pod, node, promises)
            await self._acts.bind(pod, node)
        except NotFound:
            self._mirror.unassume(pod, node)
        except Conflict:
            # Bound by another, or replaced by a namesake: the cache brings what is true; what is still unbound is ours.
            self._mirror.unassume(pod, node)
            self._try_later(key)
        except (KnarrError, OSError) as error:
            _log.warning("%s/%s was not bound %s", *key, logs.fields(node=node, error=error))
            self._mirror.unassume(pod, node)
            self._try_later(key)
        finally:
            self._snapshot.volumes.give_up(promises)

    async def _bind_volumes(self, key: Key, pod: Pod, node: str, promises: tuple[Promise, ...]) -> None:
        """Ask for the volumes, wait until the pod's claims have them. Raises NotFound when the pod goes meanwhile."""
        for promise in promises:
            await self._acts.bind_volume(promise.claim, promise.volume, node)
        changed = self._mirror.unbound[key] = asyncio.Event()
        try:
            async with asyncio.timeout(self._profile(pod).bind_timeout_seconds):
                while not self._snapshot.volumes.are_bound(pod):
                    changed.clear()
                    await changed.wait()
                    if self._mirror.assumed.get(pod.metadata.uid) != node:
                        raise NotFound(f"{key[0]}/{key[1]} is gone")
        except TimeoutError as error:
            raise DeadlineExceeded(f"binding volumes of {key[0]}/{key[1]}: timed out") from error
        finally:
            del self._mirror.unbound[key]

    def _try_later(self, key: Key) -> None:
        delay = self._queue.failed(key, self._clock.now())

        def again() -> None:
            pod = self._mirror.unplaced(key)
            if pod is not None:
                self._queue.again(key, pod)
                self._mirror.wake.set()

        asyncio.get_running_loop().call_later(delay, again)

    def _flush_later(self) -> None:
        if self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush_now)

    def _flush_now(self) -> None:
        self._flush = None
        self._queue.flush()
        self._mirror.wake.set()

    # -- refusing -----------------------------------------------------------------------------------------------------

    def _refuse(self, group: asyncio.TaskGroup, pod: Pod, outcome: Unschedulable) -> None:
        """Make room if less important pods may go; say why the pod waits, once until it changes."""
        uid, message, nominated = pod.metadata.uid, outcome.message, self._snapshot.nominated_node(pod)
        if outcome.reasons and self._profile(pod).can_preempt:
            self._figures.preemptions += 1
            match self._preempted(pod, outcome):
                case Preemption(node, victims):
                    nominated = node
                    self._nominate(group, pod, node)
                    for victim in victims:
                        if victim.metadata.uid not in self._mirror.going:
                            self._mirror.going.add(victim.metadata.uid)
                            group.create_task(self._evict(victim, pod, node), name=f"preempt {victim.metadata.name}")
                case NoPreemption(why, is_waiting):
                    message = f"{message} preemption: {why}"
                    if not is_waiting:
                        nominated = ""
                        self._snapshot.nominated.pop(uid, None)
        if self._mirror.told.get(uid) != (message, nominated):
            self._mirror.told[uid] = (message, nominated)
            group.create_task(self._acts.refuse(pod, message, nominated), name=f"refuse {pod.metadata.name}")

    def _preempted(self, pod: Pod, outcome: Unschedulable) -> Preemption | NoPreemption:
        return preempt(
            pod,
            self._snapshot,
            outcome,
            budgets=self._cache.list(PodDisruptionBudget),
            going=self._mirror.going,
            profile=self._profile(pod),
        )

    def _nominate(self, group: asyncio.TaskGroup, pod: Pod, node: str) -> None:
        """Less important pods nominated to the node lose their claim."""
        for other in self._snapshot.nominated_to(node):
            if priority(other) < priority(pod):
                del self._snapshot.nominated[other.metadata.uid]
                group.create_task(self._acts.give_up_nomination(other), name=f"clear {other.metadata.name}")
        self._snapshot.nominated[pod.metadata.uid] = (pod, node)

    async def _evict(self, victim: Pod, pod: Pod, node: str) -> None:
        if victim.metadata.deletion_timestamp is not None:
            return  # It is on its way out already.
        try:
            await self._acts.preempt(victim, pod, node)
        except (KnarrError, OSError) as error:
            meta = victim.metadata
            _log.warning("%s/%s was not preempted %s", meta.namespace, meta.name, logs.fields(error=error))
            self._mirror.going.discard(meta.uid)
            self._try_later((pod.metadata.namespace, pod.metadata.name))


def _says_gated(pod: Pod) -> bool:
    return any((each.type, each.reason) == ("PodScheduled", "SchedulingGated") for each in pod.status.conditions)
