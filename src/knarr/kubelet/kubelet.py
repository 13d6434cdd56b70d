"""The kubelet: runs the pods bound to its node. One worker per pod; this file only starts and wakes them.

Wakers: the watch of this node's pods, the runtime's event stream, and what workers hear themselves (objects, probes,
timers). After a restart everything is found again: API and runtime are the only memory. Not here: one pod's life
(worker.py), HTTP endpoints (server.py), node status (heartbeat.py).
"""

import asyncio
import contextlib
from pathlib import Path
from typing import Any, Literal

import msgspec

from knarr.base import logs, tasks
from knarr.base.clock import Clock
from knarr.base.errors import KnarrError, NotFound, Unimplemented
from knarr.base.tasks import Ready
from knarr.client import events, reflector
from knarr.client.cache import Cache, Changed
from knarr.client.client import Client
from knarr.client.events import EventRecorder
from knarr.client.reflector import Selection
from knarr.cri.messages import container as cri_container
from knarr.cri.messages import runtime as cri_runtime
from knarr.cri.protocol import ImageService, RuntimeService
from knarr.kinds.core_config import NODE
from knarr.kinds.core_pod import POD
from knarr.kinds.core_service import SERVICE
from knarr.kinds.lens.node import Node
from knarr.kinds.lens.pod import Pod
from knarr.kinds.lens.service import Service
from knarr.kubelet import (
    admission,
    demands,
    dns,
    log_rotation,
    members,
    mounting,
    node_events,
    node_status,
    observed,
    orphans,
    relief,
    restarts,
    static_pods,
    static_source,
)
from knarr.kubelet.allocations import Allocations
from knarr.kubelet.ends import Ends
from knarr.kubelet.heartbeat import Heartbeat
from knarr.kubelet.image_gc import ImageCollector
from knarr.kubelet.images import ImagePuller
from knarr.kubelet.mirrors import Mirrors
from knarr.kubelet.pulled_images import PulledImages
from knarr.kubelet.settings import KubeletSettings
from knarr.kubelet.shared import Aside, Shared
from knarr.kubelet.sources import ObjectSources
from knarr.kubelet.standing import Stop
from knarr.kubelet.user_namespaces import UserNamespaces
from knarr.kubelet.worker import PodWorker
from knarr.network import resolv_conf

_log = logs.log("kubelet")
Json = dict[str, Any]
RELIST_SECONDS = 1.0
"""How often a runtime without an event stream is asked (containerd before 1.7); the only polling in the kubelet."""
RESTART_SECONDS = 10.0
APPARMOR = Path("/sys/kernel/security/apparmor/profiles")


class Kubelet:
    """One node. `run` never returns; look-ups serve the kubelet's HTTP server."""

    def __init__(
        self,
        client: Client,
        runtime: RuntimeService,
        images: ImageService,
        settings: KubeletSettings,
        clock: Clock,
        *,
        aside: Aside = asyncio.to_thread,
    ) -> None:
        self.settings = settings
        self.aside = aside
        self.runtime = runtime
        self.client = client
        self._clock = clock
        self._cache = Cache([POD, SERVICE, NODE])
        pulled = PulledImages(settings.root_dir, aside)
        self._puller = ImagePuller(images, clock, restarts.rule(settings.backoff), settings.pulls_max, pulled)
        self._sources = ObjectSources(client, clock, settings.api_wait_seconds)
        self._recorder = EventRecorder(client, clock, "kubelet", settings.node_name)
        self.heartbeat = Heartbeat(client, runtime, images, settings, clock, tell=self._tell_standing)
        collector = ImageCollector(images, runtime, clock, settings.image_policy)
        tools = relief.Tools(runtime, collector, self.heartbeat, clock, aside, self._tell_node)
        self._relief = relief.Relief(settings, tools, lambda: list(self._workers.values()), self._end)
        self._rule = restarts.rule(settings.backoff, settings.restart_seconds_max)
        self.ends = Ends()
        self._workers: dict[str, PodWorker] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._shared: Shared | None = None
        self._static: dict[str, Json] = {}
        self._mirrors = Mirrors(client, lambda: (settings.node_name, self.heartbeat.node_uid))

    async def run(self, ready: Ready) -> None:
        """Take over what runs, register the node, then follow the API; ready once the node is registered."""
        self._prepare_directories()
        version = await self.runtime.version(cri_runtime.VersionRequest())
        self.heartbeat.version = f"{version.runtime_name}://{version.runtime_version}"
        handlers = (await self.runtime.status(cri_runtime.StatusRequest())).runtime_handlers
        can_recurse = any(one.features and one.features.recursive_read_only_mounts for one in handlers)
        self._shared = self._make_shared(version.runtime_name, can_recurse=can_recurse)
        self._cache.listen(self._changed)
        try:
            async with asyncio.TaskGroup() as group:
                await tasks.start(group, "kubelet events", self._recorder.run)
                await tasks.start(group, "runtime events", self._follow_runtime)
                if self.settings.static_pod_dir is not None:
                    # Before the API is asked for anything: static pods do without it.
                    await tasks.start(group, "static pods", self._follow_static)
                await tasks.start(group, "kubelet watches", self._reflect)
                await tasks.start(group, "orphans", self._end_orphans)
                await tasks.start(group, "log rotation", self._rotate_logs)
                await tasks.start(group, "eviction", self._relief.run)
                await tasks.start(group, "heartbeat", self.heartbeat.run)
                ready()
        finally:
            for task in list(self._tasks):
                task.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=10)
            await self._mirrors.close()
            await self._sources.close()

    # -- look-ups for the HTTP server ---

    def pods(self) -> list[Pod]:
        """The pods of this node as their workers know them."""
        return [worker.pod for worker in self._workers.values()]

    @property
    def running_containers(self) -> int:
        return sum(len(worker.observed.running) for worker in self._workers.values())

    def pods_json(self) -> list[bytes]:
        """The same pods as the API's JSON."""
        return [held.raw for held in self._cache.held_all(POD)]

    def probe_attempts(self, namespace: str, name: str) -> list[Json]:
        """What the probes of a pod said lately. Raises NotFound."""
        worker = self._worker(namespace, name)
        if worker is None:
            raise NotFound(f'pod "{namespace}/{name}" is not on this node')
        return worker.probe_attempts

    def previous_container(self, namespace: str, name: str, container: str) -> str | None:
        """The id of the run before the one that the pod's status tells of, whose log `kubectl logs --previous` shows.

        It is the status's word, as upstream: while a container waits for its next run, that is the one that ended last.
        """
        worker = self._worker(namespace, name)
        status = members.recorded(worker.pod, container) if worker else None
        last = status.last_state.terminated if status else None
        return last.container_id.rpartition("/")[2] if last else None

    def _worker(self, namespace: str, name: str) -> PodWorker | None:
        """The newest pod of that name."""
        found = [
            w for w in self._workers.values() if (w.pod.metadata.namespace, w.pod.metadata.name) == (namespace, name)
        ]
        return found[-1] if found else None

    # -- the node's pods ---

    def _changed(self, changed: Changed) -> None:
        if changed.kind == NODE and changed.new is not None:
            self.heartbeat.heard(changed.new.lens(Node))
        if changed.kind != POD:
            return
        uid = changed.held.metadata.uid
        worker = self._workers.get(uid)
        if changed.held.raw and static_pods.is_mirror(changed.held.lens(Pod)):
            self._saw_mirror(changed)
        elif changed.new is None:
            if worker is not None:
                worker.gone()
                self._ends(worker)
        elif worker is not None:
            worker.update(changed.new.lens(Pod), changed.new.raw)
            self._ends(worker)
        else:
            self._take(changed.new.lens(Pod), changed.new.raw)

    def _take(self, pod: Pod, raw: bytes) -> None:
        """Give a pod its worker."""
        assert self._shared is not None, "watches begin after the runtime is known"
        self._employ(PodWorker(self._shared, pod, raw))

    def _employ(self, worker: PodWorker) -> None:
        self._workers[worker.uid] = worker
        meta = worker.pod.metadata
        task = asyncio.create_task(self._work(worker), name=f"pod {meta.namespace}/{meta.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _work(self, worker: PodWorker) -> None:
        """Run a worker to its end; one that breaks is replaced by a new one, which finds everything again."""
        while True:
            try:
                await worker.run()
            except Exception:
                meta = worker.pod.metadata
                _log.exception("pod worker broke %s", logs.fields(namespace=meta.namespace, pod=meta.name))
                await asyncio.sleep(RESTART_SECONDS)
                if (again := self._successor(worker)) is not None:
                    worker = self._workers[worker.uid] = again
                    continue
            break
        self._workers.pop(worker.uid, None)
        if worker.is_static:
            self._mirrors.forget((worker.pod.metadata.namespace, worker.pod.metadata.name), worker.uid)
            self._start_static()

    def _successor(self, worker: PodWorker) -> PodWorker | None:
        """A new worker for the pod of one that broke; None if the pod has gone meanwhile."""
        meta = worker.pod.metadata
        if worker.is_static:
            return self._static_worker(self._static[worker.uid]) if worker.uid in self._static else None
        held = self._cache.held(POD, meta.namespace, meta.name)
        if held is None or held.metadata.uid != worker.uid or self._shared is None:
            return None
        return PodWorker(self._shared, held.lens(Pod), held.raw)

    def _tell_node(self, event_type: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        self._recorder.record(events.reference(NODE, self.heartbeat.node.metadata, ""), event_type, reason, message)

    def _tell_standing(self, reason: str) -> None:
        self._tell_node("Normal", reason, node_events.message(self.settings.node_name, reason))

    def _place(self) -> admission.Place:
        """This node as a pod meets it."""
        offered = node_status.capacity(self.settings, self.heartbeat.machine)
        amounts = demands.amounts({**offered, **node_status.extended(self.heartbeat.node.status.capacity)})
        return admission.Place(
            node=self.heartbeat.node,
            allocatable=amounts,
            pressures=self.heartbeat.pressures,
            has_apparmor=APPARMOR.exists(),
            unsafe_sysctls=self.settings.unsafe_sysctls,
        )

    def _admitted(self) -> list[Pod]:
        return [worker.pod for worker in self._workers.values() if worker.is_admitted]

    def _end(self, uid: str, why: Stop) -> None:
        """End a pod for the node's sake, and say so."""
        worker = self._workers.get(uid)
        if worker is not None:
            worker.tell("", "Warning", why.reason, why.message)
            worker.stop(why)

    def _ends(self, worker: PodWorker) -> None:
        """Who waits to be admitted and is to end now waits no more."""
        if self._shared is not None and not worker.is_admitted and worker.is_ending:
            self._shared.allocations.ends(worker.uid)

    def _is_ending(self, uid: str) -> bool:
        worker = self._workers.get(uid)
        return worker is not None and worker.is_ending

    # -- static pods ---

    async def _follow_static(self, ready: Ready) -> None:
        assert self.settings.static_pod_dir is not None, "asked only with a folder"
        folder, name = self.settings.static_pod_dir, self.settings.node_name
        await static_source.follow(folder, name, self._clock, self.static_changed, ready)

    def static_changed(self, found: dict[str, Json]) -> None:
        """End what no file asks for any more, begin what one asks for now."""
        self._static = found
        for worker in self._workers.values():
            if worker.is_static and worker.uid not in found:
                worker.withdraw()
                self._ends(worker)
        self._start_static()

    def _start_static(self) -> None:
        """A changed file is another pod of the same name: it waits until the one before has ended."""
        busy = {(w.pod.metadata.namespace, w.pod.metadata.name) for w in self._workers.values() if w.is_static}
        for pod in self._static.values():
            if (pod["metadata"]["namespace"], pod["metadata"]["name"]) not in busy:
                self._mirrors.want(pod)
                self._employ(self._static_worker(pod))

    def _static_worker(self, pod: Json) -> PodWorker:
        assert self._shared is not None, "files are read after the runtime is known"
        meta = pod["metadata"]
        worker = PodWorker(self._shared, msgspec.convert(pod, Pod), b"", is_static=True)
        if (shown := self._mirrors.mirror_of((meta["namespace"], meta["name"]), meta["uid"])) is not None:
            worker.mirrored(*shown)
        return worker

    def _saw_mirror(self, changed: Changed) -> None:
        key = changed.held.key
        self._mirrors.saw(key, (changed.new.lens(Pod), changed.new.raw) if changed.new is not None else None)
        for worker in self._workers.values():
            if worker.is_static and (worker.pod.metadata.namespace, worker.pod.metadata.name) == key:
                shown = self._mirrors.mirror_of(key, worker.uid)
                worker.mirrored(*(shown or (None, b"")))

    async def _reflect(self, ready: Ready) -> None:
        selections = {
            POD: Selection(fields=f"spec.nodeName={self.settings.node_name}"),
            NODE: Selection(fields=f"metadata.name={self.settings.node_name}"),
        }
        await reflector.run(self.client, self._cache, self._clock, ready, selections=selections)

    # -- the runtime ---

    async def _follow_runtime(self, ready: Ready) -> None:
        """Wake the worker of each pod that the runtime has news of; after a gap wake all."""
        ready()
        while True:
            try:
                async for event in self.runtime.get_container_events(cri_container.GetEventsRequest()):
                    self._heard(event)
            except Unimplemented:
                await asyncio.sleep(RELIST_SECONDS)
            except (KnarrError, OSError) as error:
                _log.info("runtime events ended %s", logs.fields(error=error))
                await asyncio.sleep(RELIST_SECONDS)
            self.ends.look()
            for worker in self._workers.values():
                worker.look()

    def _heard(self, event: cri_container.ContainerEventResponse) -> None:
        self.ends.heard(event.container_id)
        uids = {observed.pod_uid(status.labels) for status in event.containers_statuses}
        if event.pod_sandbox_status is not None:
            uids.add(observed.pod_uid(event.pod_sandbox_status.labels))
        begun = observed.begun_sandbox(event)
        for uid in uids:
            worker = self._workers.get(uid)
            known = worker.observed.ready_sandbox if worker is not None else None
            if worker is not None and not (known is not None and known.id == begun):
                worker.look(begun)

    async def _rotate_logs(self, ready: Ready) -> None:
        ready()
        settings = self.settings
        while True:
            await asyncio.sleep(log_rotation.CHECK_SECONDS)
            await log_rotation.rotate_all(
                self.runtime,
                [log for worker in self._workers.values() for log in worker.open_logs()],
                bytes_max=settings.container_log_bytes_max,
                files_max=settings.container_log_files_max,
                now=self._clock.now(),
            )

    async def _end_orphans(self, ready: Ready) -> None:
        """Pods that the runtime has and the API has not: end and remove them, and directories of the gone."""
        assert self._shared is not None
        ready()
        await orphans.end_orphans(self._shared, self._workers.__contains__)
        await asyncio.get_running_loop().create_future()

    def _prepare_directories(self) -> None:
        (self.settings.root_dir / "pods").mkdir(parents=True, exist_ok=True)
        self.settings.pod_log_dir.mkdir(parents=True, exist_ok=True)
        # Containers see their files by bind mounts; no other user of this machine has business here (TRUST SEC-03).
        for directory in (self.settings.root_dir, self.settings.pod_log_dir):
            directory.chmod(0o700)
        memory = self.settings.memory_root
        memory.mkdir(parents=True, exist_ok=True)
        if not mounting.is_mounted(memory):
            with contextlib.suppress(PermissionError):  # without root (tests) secrets live on disk
                mounting.mount_tmpfs(memory, "mode=0700")

    def _make_shared(self, runtime_name: str, *, can_recurse: bool) -> Shared:
        host = resolv_conf.path()
        resolver = dns.parse(host.read_text(errors="replace")) if host.exists() else dns.Resolver()
        machine = self.heartbeat.machine
        amounts = node_status.capacity(self.settings, machine)
        return Shared(
            settings=self.settings,
            client=self.client,
            runtime=self.runtime,
            puller=self._puller,
            sources=self._sources,
            recorder=self._recorder,
            clock=self._clock,
            rule=self._rule,
            allocations=Allocations(self._place, self._admitted, self.heartbeat.fetch_node, self._end, self._is_ending),
            user_namespaces=UserNamespaces(
                self.settings.root_dir / "pods",
                self.settings.max_pods,
                self.settings.clusters_dir,
                self.settings.subordinate_ids,
            ),
            runtime_name=runtime_name,
            can_recurse=can_recurse,
            host_resolver=resolver,
            services=lambda: self._cache.list(Service),
            memory_capacity=machine.memory_bytes,
            allocatable=tuple(amounts.items()),
            aside=self.aside,
        )


def unmount_all(settings: KubeletSettings) -> None:
    """Let go of every mount below the kubelet's directory; for `knarr down`, after the pods have ended."""
    for point in mounting.mounts_below(settings.root_dir):
        mounting.unmount(point)
