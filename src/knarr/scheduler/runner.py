"""The acting half of the scheduler: keeps the snapshot true, binds what fits, says why the rest waits.

Woken by the cache's changes alone. A pod that was bound counts on its node at once ("assumed"), so the next decision
sees it before the API does. A pod that fits nowhere is tried again when a node or a pod's room changed.
Decisions are schedule.py's and preemption.py's, writes acts.py's; the objects come from a cache that the controllers
share. Pods that name another scheduler are not ours.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from knarr.base import logs
from knarr.base.backoff import Backoff, BackoffRule
from knarr.base.clock import Clock
from knarr.base.errors import Conflict, KnarrError, NotFound
from knarr.base.tasks import Ready
from knarr.client.cache import Cache, Changed, Held
from knarr.client.client import Client
from knarr.client.events import EventRecorder
from knarr.kinds.core_config import NAMESPACE, NODE
from knarr.kinds.core_pod import POD
from knarr.kinds.core_storage import PERSISTENTVOLUMECLAIM
from knarr.kinds.lens.config import Namespace
from knarr.kinds.lens.node import Node
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.policy import PodDisruptionBudget
from knarr.kinds.policy import PODDISRUPTIONBUDGET
from knarr.kinds.registry import Kind
from knarr.scheduler import acts
from knarr.scheduler.acts import Acts
from knarr.scheduler.claims import Claim
from knarr.scheduler.node_state import FINISHED_PHASES, NodeState
from knarr.scheduler.preemption import NoPreemption, Preemption, preempt, priority
from knarr.scheduler.profile import DEFAULT
from knarr.scheduler.schedule import Bound, Unschedulable, asking_of, schedule
from knarr.scheduler.snapshot import Snapshot

_log = logs.log("scheduler")

NAME: Final = acts.NAME
KINDS: Final[Sequence[Kind]] = (NAMESPACE, PERSISTENTVOLUMECLAIM, NODE, POD, PODDISRUPTIONBUDGET)
"""What the shared cache must hold."""
RETRY: Final = BackoffRule(first=0.1, cap=10.0)
"""After a failed write; upstream waits 1…10 s, here the API is next door."""
DECIDED_AT_ONCE: Final = 64
"""Decisions between two turns of the others: about 20 ms of computing."""

Key = tuple[str, str]


class Scheduler:
    """Schedules pods whose spec.schedulerName is `default-scheduler`."""

    def __init__(self, client: Client, cache: Cache, clock: Clock, recorder: EventRecorder) -> None:
        self._acts = Acts(client, clock, recorder)
        self._cache = cache
        self._clock = clock
        self._snapshot = Snapshot()
        self._waiting: dict[Key, Pod] = {}
        self._refused: dict[Key, Pod] = {}
        self._sociable: set[Key] = set()
        """Keys of refused pods that ask something of the pods around them."""
        self._assumed: dict[str, str] = {}
        """The node by uid of pods whose binding the cache does not show yet."""
        self._going: set[str] = set()
        """Uids of victims whose deletion was asked for."""
        self._backoffs: dict[Key, Backoff] = {}
        self._told: dict[str, tuple[str, str]] = {}
        self._wake = asyncio.Event()
        cache.listen(self._changed, kinds=KINDS)

    async def run(self, ready: Ready) -> None:
        """Schedule until cancelled; the cache must have been listed before."""
        for kind in (NAMESPACE, PERSISTENTVOLUMECLAIM, NODE, POD):
            for held in self._cache.held_all(kind):
                self._changed(Changed(kind, None, held))
        ready()
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wake.wait()
                self._wake.clear()
                for count, (key, pod) in enumerate(self._in_order(), 1):
                    self._decide(group, key, pod)
                    if count % DECIDED_AT_ONCE == 0:
                        await asyncio.sleep(0)
                await asyncio.sleep(0)

    # -- what changed ---------------------------------------------------------------------------------------------

    def _changed(self, changed: Changed) -> None:
        if changed.kind == NODE:
            self._node_changed(changed)
        elif changed.kind == POD:
            self._pod_changed(changed)
        elif changed.kind == NAMESPACE:
            labels = None if changed.new is None else changed.new.lens(Namespace).metadata.labels
            self._snapshot.name_namespace(changed.held.metadata.name, labels)
            self._retry(around_only=True)

        elif changed.kind == PERSISTENTVOLUMECLAIM:
            self._snapshot.claims.pop(changed.held.key, None)
            if changed.new is not None:
                self._snapshot.claims[changed.held.key] = changed.new.lens(Claim)
            self._retry()

    def _node_changed(self, changed: Changed) -> None:
        name = changed.held.metadata.name
        if changed.new is None:
            self._snapshot.drop(name)
            self._retry(around_only=True)
            return
        node = changed.new.lens(Node)
        before = self._snapshot.generation
        if name in self._snapshot.nodes:
            self._snapshot.renew(node)
        else:
            state = NodeState(node)
            for pod in self._cache.on_node(Pod, name):
                state.add(pod)
            self._snapshot.put(state)
        if self._snapshot.generation != before:
            self._retry()

    def _pod_changed(self, changed: Changed) -> None:
        held = changed.new
        if changed.old is not None and (held is None or self._moved(changed.old, held)):
            self._leave(changed.old, is_gone=held is None)
        if held is None:
            return
        pod = held.lens(Pod)
        if held.node:
            self._placed(held, pod)
        elif not self._is_ours(pod):
            self._waiting.pop(held.key, None)
            self._refused.pop(held.key, None)
        elif held.metadata.uid not in self._assumed:
            self._unplaced(changed.old, held, pod)

    def _moved(self, old: Held, new: Held) -> bool:
        """Where the pod was put by us it counts already: the cache shows what was assumed."""
        return old.node != new.node and self._assumed.get(new.metadata.uid) != new.node

    def _placed(self, held: Held, pod: Pod) -> None:
        self._drop_pending(held)
        before = self._snapshot.generation
        self._assumed.pop(pod.metadata.uid, None)
        self._snapshot.place(pod, held.node)
        is_finished = pod.status.phase in FINISHED_PHASES
        if is_finished or self._snapshot.generation != before:
            self._retry(around_only=not is_finished)

    def _unplaced(self, old: Held | None, held: Held, pod: Pod) -> None:
        if pod.status.nominated_node_name:
            self._snapshot.nominated.setdefault(pod.metadata.uid, (pod, pod.status.nominated_node_name))
        if held.key in self._refused and old is not None and _asks_the_same(old.lens(Pod), pod):
            # Our own words in its status came back.
            self._refused[held.key] = pod
            return
        self._refused.pop(held.key, None)
        self._waiting[held.key] = pod
        self._wake.set()

    def _leave(self, old: Held, *, is_gone: bool) -> None:
        uid = old.metadata.uid
        node = old.node or self._assumed.get(uid, "")
        had_room = bool(node) or uid in self._snapshot.nominated
        self._snapshot.remove(uid, node)
        if is_gone:
            self._drop_pending(old)
            self._assumed.pop(uid, None)
        self._going.discard(uid)
        if had_room:
            self._retry()

    def _drop_pending(self, held: Held) -> None:
        self._waiting.pop(held.key, None)
        self._refused.pop(held.key, None)
        self._backoffs.pop(held.key, None)
        self._told.pop(held.metadata.uid, None)
        self._snapshot.nominated.pop(held.metadata.uid, None)

    @staticmethod
    def _is_ours(pod: Pod) -> bool:
        return (
            (pod.spec.scheduler_name or NAME) == NAME
            and pod.metadata.deletion_timestamp is None
            and pod.status.phase not in FINISHED_PHASES
        )

    def _retry(self, *, around_only: bool = False) -> None:
        """Room appeared; or (`around_only`) what stands around changed, which matters to pods that ask for company."""
        keys = self._sociable if around_only else tuple(self._refused)
        again = {key: self._refused.pop(key) for key in keys if key in self._refused}
        self._sociable.clear()
        if again:
            self._waiting.update(again)
            self._wake.set()

    # -- deciding and acting --------------------------------------------------------------------------------------

    def _in_order(self) -> list[tuple[Key, Pod]]:
        """Higher priority first, then the older, then by name."""
        due = list(self._waiting.items())
        return sorted(
            due,
            key=lambda item: (-priority(item[1]), str(item[1].metadata.creation_timestamp), item[0]),
        )

    def _decide(self, group: asyncio.TaskGroup, key: Key, pod: Pod) -> None:
        if self._waiting.get(key) is not pod:
            return  # Changed or gone while others were decided; what is newer waits for the next round.
        del self._waiting[key]
        name = f"{key[0]}/{key[1]}"
        if pod.spec.scheduling_gates:
            if not _says_gated(pod):
                group.create_task(self._acts.gate(pod), name=f"gate {name}")
            return
        try:
            outcome = schedule(pod, self._snapshot)
        except Exception:
            # One pod that nobody foresaw must not end the control process, nor keep the others from being placed.
            _log.exception("%s crashed the scheduler", name)
            self._try_later(key, pod)
            return
        match outcome:
            case Bound(node):
                self._assumed[pod.metadata.uid] = node
                self._snapshot.nominated.pop(pod.metadata.uid, None)
                self._snapshot.place(pod, node)
                group.create_task(self._bind(key, pod, node), name=f"bind {name}")
            case Unschedulable():
                self._refused[key] = pod
                if not asking_of(pod, self._snapshot, DEFAULT).is_alone:
                    self._sociable.add(key)
                self._refuse(group, pod, outcome)

    async def _bind(self, key: Key, pod: Pod, node: str) -> None:
        try:
            await self._acts.bind(pod, node)
        except NotFound:
            self._unassume(pod, node)
        except Conflict:
            # Bound by another, or replaced by a namesake: the cache brings what is true; what is still unbound is ours.
            self._unassume(pod, node)
            self._try_later(key, pod)
        except (KnarrError, OSError) as error:
            _log.warning("%s/%s was not bound %s", *key, logs.fields(node=node, error=error))
            self._unassume(pod, node)
            self._try_later(key, pod)

    def _unassume(self, pod: Pod, node: str) -> None:
        self._assumed.pop(pod.metadata.uid, None)
        held = self._cache.held(POD, pod.metadata.namespace, pod.metadata.name)
        if held is None or held.node != node:
            self._snapshot.remove(pod.metadata.uid, node)
            self._retry()

    def _try_later(self, key: Key, pod: Pod) -> None:
        backoff = self._backoffs.get(key, Backoff()).failed(self._clock.now(), RETRY)
        self._backoffs[key] = backoff

        def again() -> None:
            held = self._cache.held(POD, *key)
            if held is not None and not held.node and held.metadata.uid not in self._assumed:
                latest = held.lens(Pod)
                if self._is_ours(latest):
                    self._refused.pop(key, None)
                    self._waiting[key] = latest
                    self._wake.set()

        asyncio.get_running_loop().call_later(backoff.delay(RETRY), again)

    def _refuse(self, group: asyncio.TaskGroup, pod: Pod, outcome: Unschedulable) -> None:
        """Make room if less important pods may go; say why the pod waits, once until it changes."""
        uid, message, nominated = pod.metadata.uid, outcome.message, self._snapshot.nominated_node(pod)
        if outcome.reasons:
            budgets = self._cache.list(PodDisruptionBudget)
            match preempt(pod, self._snapshot, outcome, budgets=budgets, going=self._going):
                case Preemption(node, victims):
                    nominated = node
                    self._nominate(group, pod, node)
                    for victim in victims:
                        if victim.metadata.uid in self._going:
                            continue
                        self._going.add(victim.metadata.uid)
                        group.create_task(self._evict(victim, pod, node), name=f"preempt {victim.metadata.name}")
                case NoPreemption(why, is_waiting):
                    message = f"{message} preemption: {why}"
                    if not is_waiting:
                        nominated = ""
                        self._snapshot.nominated.pop(uid, None)
        if self._told.get(uid) != (message, nominated):
            self._told[uid] = (message, nominated)
            group.create_task(self._acts.refuse(pod, message, nominated), name=f"refuse {pod.metadata.name}")

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
            self._going.discard(meta.uid)
            self._try_later((pod.metadata.namespace, pod.metadata.name), pod)


def _asks_the_same(old: Pod, pod: Pod) -> bool:
    return old.spec == pod.spec and old.metadata.labels == pod.metadata.labels


def _says_gated(pod: Pod) -> bool:
    return any((each.type, each.reason) == ("PodScheduled", "SchedulingGated") for each in pod.status.conditions)
