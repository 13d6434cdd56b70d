"""The acting half of the scheduler: keeps the snapshot true, binds what fits, says why the rest waits.

Woken by the cache's changes alone. A pod that was bound counts on its node at once ("assumed"), so the next decision
sees it before the API does. A pod that fits nowhere is tried again when a node or a pod's room changed.
Decisions are schedule.py's; the objects come from a cache that the controllers share.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Final

from knarr.base import logs
from knarr.base.backoff import Backoff, BackoffRule
from knarr.base.clock import Clock, rfc3339
from knarr.base.errors import Conflict, KnarrError, NotFound
from knarr.base.tasks import Ready
from knarr.client import events
from knarr.client.cache import Cache, Changed, Held
from knarr.client.client import Client, Json
from knarr.client.events import EventRecorder
from knarr.kinds.core_config import NODE
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.node import Node
from knarr.kinds.lens.pod import Pod
from knarr.kinds.registry import Kind
from knarr.scheduler.schedule import Bound, Unschedulable, schedule
from knarr.scheduler.snapshot import FINISHED_PHASES, NodeState

_log = logs.log("scheduler")

NAME: Final = "default-scheduler"
KINDS: Final[Sequence[Kind]] = (POD, NODE)
WRITES_AT_ONCE: Final = 32
"""Bindings on their way: enough to fill the store's group commit."""
RETRY: Final = BackoffRule(first=0.1, cap=10.0)
"""After a failed write; upstream waits 1…10 s, here the API is next door."""

Key = tuple[str, str]


class Scheduler:
    """Schedules pods whose spec.schedulerName is `default-scheduler`."""

    def __init__(self, client: Client, cache: Cache, clock: Clock, recorder: EventRecorder) -> None:
        self._client = client
        self._cache = cache
        self._clock = clock
        self._recorder = recorder
        self._states: dict[str, NodeState] = {}
        self._waiting: dict[Key, Pod] = {}
        self._refused: dict[Key, Pod] = {}
        self._backoffs: dict[Key, Backoff] = {}
        self._told: dict[str, str] = {}
        self._wake = asyncio.Event()
        self._writes = asyncio.Semaphore(WRITES_AT_ONCE)
        cache.listen(self._changed)

    async def run(self, ready: Ready) -> None:
        """Schedule until cancelled; the cache must have been listed before."""
        for kind in (NODE, POD):
            for held in self._cache.held_all(kind):
                self._changed(Changed(kind, None, held))
        ready()
        async with asyncio.TaskGroup() as group:
            while True:
                await self._wake.wait()
                self._wake.clear()
                for key, pod in self._in_order():
                    self._decide(group, key, pod)
                # Others get their turn between two rounds; the round itself is pure computing.
                await asyncio.sleep(0)

    # -- what changed ---------------------------------------------------------------------------------------------

    def _changed(self, changed: Changed) -> None:
        if changed.kind == NODE:
            self._node_changed(changed)
        elif changed.kind == POD:
            self._pod_changed(changed)

    def _node_changed(self, changed: Changed) -> None:
        name = changed.held.metadata.name
        if changed.new is None:
            self._states.pop(name, None)
            return
        node = changed.new.lens(Node)
        state = self._states.get(name)
        if state is None:
            state = self._states[name] = NodeState(node)
            for pod in self._cache.on_node(Pod, name):
                state.add(pod)
        else:
            state.node = node
        self._retry_refused()

    def _pod_changed(self, changed: Changed) -> None:
        if changed.old is not None and (changed.new is None or changed.old.node != changed.new.node):
            self._leave(changed.old)
        if changed.new is None:
            return
        held = changed.new
        pod = held.lens(Pod)
        if held.node:
            self._waiting.pop(held.key, None)
            self._refused.pop(held.key, None)
            self._backoffs.pop(held.key, None)
            self._told.pop(held.metadata.uid, None)
            if held.node in self._states:
                self._states[held.node].add(pod)
            if pod.status.phase in FINISHED_PHASES:
                self._retry_refused()
        elif self._is_ours(pod):
            self._refused.pop(held.key, None)
            self._waiting[held.key] = pod
            self._wake.set()

    def _leave(self, old: Held) -> None:
        self._waiting.pop(old.key, None)
        self._refused.pop(old.key, None)
        self._backoffs.pop(old.key, None)
        self._told.pop(old.metadata.uid, None)
        for state in [self._states[old.node]] if old.node in self._states else self._states.values():
            state.remove(old.metadata.uid)
        self._retry_refused()

    @staticmethod
    def _is_ours(pod: Pod) -> bool:
        return (
            (pod.spec.scheduler_name or NAME) == NAME
            and not pod.spec.scheduling_gates
            and pod.metadata.deletion_timestamp is None
            and pod.status.phase not in FINISHED_PHASES
        )

    def _retry_refused(self) -> None:
        if self._refused:
            self._waiting.update(self._refused)
            self._refused.clear()
            self._wake.set()

    # -- deciding and acting --------------------------------------------------------------------------------------

    def _in_order(self) -> list[tuple[Key, Pod]]:
        """Higher priority first, then the older, then by name."""
        due = list(self._waiting.items())
        self._waiting.clear()
        return sorted(
            due,
            key=lambda item: (-(item[1].spec.priority or 0), str(item[1].metadata.creation_timestamp), item[0]),
        )

    def _decide(self, group: asyncio.TaskGroup, key: Key, pod: Pod) -> None:
        outcome = schedule(pod, self._states)
        match outcome:
            case Bound(node):
                self._states[node].add(pod)
                group.create_task(self._bind(key, pod, node), name=f"bind {key[0]}/{key[1]}")
            case Unschedulable():
                self._refused[key] = pod
                group.create_task(self._refuse(pod, outcome.message), name=f"refuse {key[0]}/{key[1]}")

    async def _bind(self, key: Key, pod: Pod, node: str) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.metadata.name, "namespace": pod.metadata.namespace, "uid": pod.metadata.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        try:
            async with self._writes:
                await self._client.create(POD, key[0], body, name=key[1], subresource="binding")
        except (NotFound, Conflict):
            # Gone, or bound by another: the cache brings what is true.
            self._unassume(pod, node)
        except (KnarrError, OSError) as error:
            _log.warning("%s/%s was not bound %s", *key, logs.fields(node=node, error=error))
            self._unassume(pod, node)
            self._try_later(key, pod)
        else:
            message = f"Successfully assigned {key[0]}/{key[1]} to {node}"
            self._recorder.record(events.reference(POD, pod.metadata), "Normal", "Scheduled", message)

    def _unassume(self, pod: Pod, node: str) -> None:
        held = self._cache.held(POD, pod.metadata.namespace, pod.metadata.name)
        if node in self._states and (held is None or held.node != node):
            self._states[node].remove(pod.metadata.uid)

    def _try_later(self, key: Key, pod: Pod) -> None:
        backoff = self._backoffs.get(key, Backoff()).failed(self._clock.now(), RETRY)
        self._backoffs[key] = backoff

        def again() -> None:
            held = self._cache.held(POD, *key)
            if held is not None and held.metadata.uid == pod.metadata.uid and not held.node:
                self._waiting[key] = pod
                self._wake.set()

        asyncio.get_running_loop().call_later(backoff.delay(RETRY), again)

    async def _refuse(self, pod: Pod, message: str) -> None:
        """Say it in the pod's condition and in an event; once until it changes."""
        if self._told.get(pod.metadata.uid) == message:
            return
        self._told[pod.metadata.uid] = message
        self._recorder.record(events.reference(POD, pod.metadata), "Warning", "FailedScheduling", message)
        condition: Json = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastTransitionTime": rfc3339(self._clock.now()),
        }
        # The pod may be gone by now; then nobody needs to be told.
        with contextlib.suppress(KnarrError, OSError):
            async with self._writes:
                await self._client.patch(
                    POD,
                    pod.metadata.namespace,
                    pod.metadata.name,
                    {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}},
                    patch="strategic",
                    subresource="status",
                )
