"""A cluster in memory and virtual time: the small API, the controllers, and a kubelet that only counts time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

from knarr.base import tasks
from knarr.base.clock import Clock, Instant, LoopClock, rfc3339
from knarr.base.errors import KnarrError, NotFound
from knarr.client import reflector
from knarr.client.cache import Cache, Changed
from knarr.client.client import Client, DeleteOptions, Json
from knarr.controllers.controller import Controller
from knarr.controllers.daemonset import target_node
from knarr.controllers.queue import WorkQueue
from knarr.controllers.registry import Controllers, all_controllers
from knarr.kinds.apps import (
    CONTROLLERREVISION,
    DAEMONSET,
    DEPLOYMENT,
    REPLICASET,
    REPLICATIONCONTROLLER,
    STATEFULSET,
)
from knarr.kinds.batch import CRONJOB, JOB
from knarr.kinds.core_config import CONFIGMAP, EVENT, NODE, SECRET, SERVICEACCOUNT
from knarr.kinds.core_pod import POD
from knarr.kinds.core_service import ENDPOINTS, ENDPOINTSLICE, SERVICE
from knarr.kinds.lens.pod import Pod
from tests.simulation.memory_api import Faults, MemoryApi

# What the garbage collector and the namespace controller look after here; all kinds would only cost time.
COLLECTED = (
    *(POD, REPLICASET, DEPLOYMENT, REPLICATIONCONTROLLER, CONFIGMAP, SECRET, SERVICEACCOUNT, EVENT),
    *(JOB, CRONJOB, STATEFULSET, DAEMONSET, CONTROLLERREVISION, SERVICE, ENDPOINTS, ENDPOINTSLICE),
)
START = datetime(2030, 1, 1, tzinfo=UTC)


class MemoryKubelet:
    """Binds pods to `nodes` in turn, starts them after `start_seconds` and stops them after `stop_seconds`.

    Annotations steer a pod: `test/never-ready`, `test/exit` (code) with `test/after` (seconds), `test/fails` (percent
    of the pods that exit with 1 instead, chosen by their uid).
    """

    def __init__(self, api: Client, clock: Clock, nodes: Sequence[str] = ("n1", "n2")) -> None:
        self._api = api
        self._clock = clock
        self.nodes = nodes
        self._next = 0
        self.start_seconds = 1.0
        self.stop_seconds = 1.0
        self.cache = Cache([POD])
        self._queue: WorkQueue[tuple[str, str]] = WorkQueue("kubelet", self._work)
        self.cache.listen(self._changed)

    def _changed(self, changed: Changed) -> None:
        if changed.new is not None:
            self._queue.add(changed.held.key)

    async def run(self, ready: tasks.Ready) -> None:
        async with asyncio.TaskGroup() as group:
            await tasks.start(group, "pods", lambda up: reflector.run(self._api, self.cache, self._clock, up))
            await tasks.start(group, "kubelet", self._queue.run)
            ready()

    async def _work(self, key: tuple[str, str]) -> None:
        pod = self.cache.get(Pod, *key)
        if pod is None:
            return
        try:
            await self._step(pod, key)
        except NotFound:
            return
        except KnarrError:
            self._queue.add_after(key, 0.2)

    async def _step(self, pod: Pod, key: tuple[str, str]) -> None:
        meta, now = pod.metadata, self._clock.now()
        if meta.deletion_timestamp is not None:
            asked = meta.deletion_timestamp - timedelta(seconds=meta.deletion_grace_period_seconds or 0)
            due = asked + timedelta(seconds=self.stop_seconds)
            if due <= now:
                await self._api.delete(POD, *key, DeleteOptions(grace_period_seconds=0, uid=meta.uid))
            else:
                self._queue.add_after(key, (due - now).total_seconds())
            return
        if not pod.spec.node_name:
            self._next += 1
            node = target_node(pod) or self.nodes[self._next % len(self.nodes)]
            target = {"apiVersion": "v1", "kind": "Node", "name": node}
            body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": key[1]}, "target": target}
            await self._api.create(POD, key[0], body, name=key[1], subresource="binding")
            return
        assert meta.creation_timestamp is not None
        if pod.status.phase in ("", "Pending"):
            due = meta.creation_timestamp + timedelta(seconds=self.start_seconds)
            if due > now:
                self._queue.add_after(key, (due - now).total_seconds())
                return
            await self._status(pod, running(now, is_ready="test/never-ready" not in meta.annotations))
        elif pod.status.phase == "Running" and "test/exit" in meta.annotations:
            since = pod.status.start_time
            assert since is not None
            due = since + timedelta(seconds=float(meta.annotations.get("test/after", "1")))
            if due > now:
                self._queue.add_after(key, (due - now).total_seconds())
                return
            is_doomed = int(meta.uid[:8], 16) % 100 < int(meta.annotations.get("test/fails", "0"))
            await self._status(pod, finished(now, 1 if is_doomed else int(meta.annotations["test/exit"]), since))

    async def _status(self, pod: Pod, status: Json) -> None:
        meta = pod.metadata
        body = {"metadata": {"resourceVersion": meta.resource_version}, "status": status}
        await self._api.patch(POD, meta.namespace, meta.name, body, subresource="status")


def running(now: Instant, *, is_ready: bool) -> Json:
    ready = {"type": "Ready", "status": str(is_ready), "lastTransitionTime": rfc3339(now)}
    state = {"running": {"startedAt": rfc3339(now)}}
    return {
        "phase": "Running",
        "startTime": rfc3339(now),
        "conditions": [ready],
        "podIP": "10.244.0.1",
        "containerStatuses": [{"name": "c", "ready": is_ready, "restartCount": 0, "state": state}],
    }


def finished(now: Instant, exit_code: int, since: Instant) -> Json:
    ended = {"exitCode": exit_code, "finishedAt": rfc3339(now), "startedAt": rfc3339(since)}
    ready = {"type": "Ready", "status": "False", "reason": "PodCompleted", "lastTransitionTime": rfc3339(now)}
    return {
        "phase": "Failed" if exit_code else "Succeeded",
        "conditions": [ready],
        "containerStatuses": [{"name": "c", "ready": False, "restartCount": 0, "state": {"terminated": ended}}],
    }


class Cluster:
    """What a test holds in its hands. `settle` waits until nothing was written for two seconds."""

    def __init__(
        self, *, seed: int = 0, faults: Faults | None = None, controllers: Sequence[Controller] | None = None
    ) -> None:
        self.clock = LoopClock(START)
        if controllers is None:
            # Leases would keep the cluster from ever coming to rest; tests of node-controller name it.
            controllers = [one for one in all_controllers() if one.name != "node-controller"]
        self._chosen = controllers
        self.api = MemoryApi(self.clock, seed, faults)
        self.connect(self.api)

    def connect(self, client: Client) -> None:
        """Take another API than the one in memory; before anything is started."""
        self.client = client
        self.kubelet = MemoryKubelet(client, self.clock)
        self.controllers = Controllers(client, self.clock, controllers=self._chosen, collected=COLLECTED)

    async def settle(self, limit: float = 3600.0) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + limit
        while True:
            before = self.api.revision
            await asyncio.sleep(2.0)
            if self.api.revision == before and self.controllers.is_idle:
                return
            assert loop.time() < end, "the cluster does not come to rest"


@contextlib.asynccontextmanager
async def running_cluster(cluster: Cluster) -> AsyncIterator[Cluster]:
    """The cluster with everything started; all of it is cancelled at the end."""
    for node in cluster.kubelet.nodes:
        await cluster.client.create(NODE, "", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
    async with asyncio.TaskGroup() as group:
        started = [
            await tasks.start(group, "kubelet", cluster.kubelet.run),
            await tasks.start(group, "controllers", cluster.controllers.run),
        ]
        yield cluster
        for task in started:
            await tasks.cancel(task)
    assert cluster.controllers.crashes == 0, "a plan crashed; the log has its traceback"
