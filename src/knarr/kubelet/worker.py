"""One pod's worker: looks, plans, acts, reports; woken by the API, the runtime, probes, finished acts and timers.

Decisions are pod_plan.py's and pod_status.py's. Each act is a task of its own, named by a key; a key in flight keeps
the plan from repeating it, and the plan is only made on a picture taken after every finished act. Everything here may
be lost at any time: a new worker finds all again in the API and the runtime.
"""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from knarr.base import logs
from knarr.base.backoff import Backoff
from knarr.base.clock import Instant
from knarr.base.errors import Conflict, KnarrError, NotFound, Unavailable
from knarr.client import events
from knarr.client.client import DeleteOptions
from knarr.kinds.core_pod import POD
from knarr.kinds.lens.pod import Pod
from knarr.kubelet import acts, ending, event_budget, inspection, members, planned, pod_plan, reset, restarts
from knarr.kubelet.allocations import REJECTED
from knarr.kubelet.allotment import Allotment
from knarr.kubelet.log_rotation import OpenLog
from knarr.kubelet.observed import ObservedPod
from knarr.kubelet.planned import PodPlan
from knarr.kubelet.preparation import PodFiles, Starter, needed
from knarr.kubelet.probes.prober import Prober
from knarr.kubelet.reporter import Reporter
from knarr.kubelet.resizing import recovered_gift
from knarr.kubelet.shared import Shared
from knarr.kubelet.standing import SANDBOX, Problem, Standing, Stop, hook_key, kill_key, resize_key, start_key

_log = logs.log("kubelet")
STATUS, VOLUMES = "status", "volumes"
RETRY_SECONDS = 1.0


class PodWorker:
    """Owns one pod, by uid, from its arrival on the node until nothing of it is left."""

    def __init__(self, shared: Shared, pod: Pod, raw: bytes, *, is_static: bool = False) -> None:
        self._shared = shared
        self.uid = pod.metadata.uid
        self._reporter = Reporter(shared, pod, raw, is_static=is_static)
        self._allotment = Allotment(shared.allocations, pod, wake=self.wake, tell=self.tell)
        self.is_admitted = pod.status.start_time is not None
        self.observed = ObservedPod()
        self._woken = asyncio.Event()
        self._is_dirty = True
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._standing = Standing(rule=shared.rule)
        self._retry_at: dict[str, Instant] = {}
        self._told: dict[str, int] = {}
        self._noticed = pod
        self._due: dict[str, Instant] = {}
        self._events = event_budget.Budget()
        self._is_finished = False
        self._is_deleted = False
        self._volumes_ready = asyncio.Event()
        self._files = PodFiles(shared, self.uid)
        self._prober = Prober(shared.runtime, shared.clock, self.wake, self.tell)
        self._acts = acts.Acts(shared, Starter(shared, self._files, self.tell), self.tell)
        self._ready_before = frozenset(
            status.container_id.rpartition("/")[2]
            for status in (*pod.status.container_statuses, *pod.status.init_container_statuses)
            if status.ready
        )

    @property
    def pod(self) -> Pod:
        """The newest version of the pod that is known, with the resources that are allocated to it."""
        return self._allotment.applied(self._reporter.pod)

    # -- what wakes it ---

    def update(self, pod: Pod, raw: bytes) -> None:
        """The API has a newer version of the pod."""
        if self._reporter.update(pod, raw):
            self.wake()

    @property
    def probe_attempts(self) -> list[dict[str, Any]]:
        """What its probes said lately, in the order of time."""
        return self._prober.history.shown()

    @property
    def is_static(self) -> bool:
        return self._reporter.is_static

    def mirrored(self, mirror: Pod | None, raw: bytes) -> None:
        """The API shows this static pod by that mirror, or by none."""
        self._reporter.mirrored(mirror, raw)
        self.wake()

    def withdraw(self) -> None:
        """The file of this static pod is gone."""
        self._reporter.withdraw(self._shared.clock.now())
        self.wake()

    def gone(self) -> None:
        """The API has the pod no more."""
        self._standing = replace(self._standing, is_gone=True)
        self.wake()

    def wake(self) -> None:
        self._woken.set()

    def look(self, begun: str = "") -> None:
        """The runtime has news of the pod; that the sandbox `begun` is there is none where the act's end will look."""
        if not begun or SANDBOX not in self._tasks:
            self._is_dirty = True
            self.wake()

    def stop(self, stop: Stop) -> None:
        """End the pod for good with that reason (eviction, deadline)."""
        if self._standing.stop is None and self.pod.status.phase not in ("Succeeded", "Failed"):
            self._standing = replace(self._standing, stop=stop)
            self.wake()

    def is_stopping(self, now: Instant) -> bool:
        """Whether this node has decided to end it, and that it ends is still to be expected."""
        if self._standing.stop is None or not self.observed.running:
            return False
        kill_at = self._standing.kill_at
        return kill_at is None or now < kill_at + ending.CLEANUP

    @property
    def is_ending(self) -> bool:
        return ending.is_ending(self.pod, self.observed, self._standing)

    def sources_changed(self) -> None:
        """An object that the pod reads has changed: refresh files, retry what failed for lack of it."""
        problems = self._standing.problems.items()
        self._retry({name for name, problem in problems if problem.reason == "CreateContainerConfigError"})
        self._retry_at.pop(VOLUMES, None)
        self._refresh_volumes()
        self.wake()

    def _retry(self, names: set[str]) -> None:
        """What failed for these containers is tried again at once."""
        problems = {
            name: replace(problem, retry_at=None) if name in names else problem
            for name, problem in self._standing.problems.items()
        }
        self._standing = replace(self._standing, problems=problems)

    async def collect(self) -> None:
        """Free what a finished pod, of which the API knows the end, still has in the runtime, and its logs."""
        if self._is_finished and not self._tasks and self.pod.status.phase in ("Succeeded", "Failed"):
            await self._acts.forget(self.uid, self.observed, self._log_dir())
            self.look()

    def open_logs(self) -> list[OpenLog]:
        """The logs that the pod's running containers write."""
        root = self._log_dir()
        return [OpenLog(c.id, root / c.name / f"{c.attempt}.log") for c in self.observed.running]

    def tell(self, container: str, event_type: Literal["Normal", "Warning"], reason: str, message: str) -> None:
        """Record an event about the pod or one of its containers, within the pod's budget of events."""
        budget = event_budget.spend(self._events, self._shared.clock.now())
        if budget is None:
            return
        self._events = budget
        path = members.field_path(self.pod, container) if container else ""
        self._shared.recorder.record(events.reference(POD, self.pod.metadata, path), event_type, reason, message)

    # -- the loop ---

    async def run(self) -> None:
        """Work until the pod is gone from the API and from this node."""
        try:
            self._use_sources()
            await self._ask_admission()
            await self._look_again()
            self._recover_backoffs()
            self._refresh_volumes()
            while not await self._step():
                await self._wait()
        finally:
            self._prober.stop()
            await self._cancel(list(self._tasks))
            self._shared.sources.release(self.uid)
            self._shared.puller.forget(self.uid)

    async def _ask_admission(self) -> None:
        """A pod that never began here begins only if the node has room for it and may run it."""
        if self.is_admitted or self.pod.metadata.deletion_timestamp is not None:
            return
        refused = await self._shared.allocations.refusal(self.pod)
        self.is_admitted = refused is None
        if refused is not None:
            self.tell("", "Warning", refused.reason, refused.message)
            self.stop(Stop(refused.reason, REJECTED + refused.message))

    def _notice_changes(self) -> None:
        """What follows from a newer version of the pod, brought by the watch or by the answer to an own write."""
        before, pod = self._noticed, self._reporter.pod
        if before is pod:
            return
        self._noticed = pod
        if before.spec != pod.spec:
            self._use_sources()
            images = {container.name: container.image for container in members.every(before)}
            self._retry({c.name for c in members.every(pod) if images.get(c.name) != c.image})
        if (before.metadata.labels, before.metadata.annotations) != (pod.metadata.labels, pod.metadata.annotations):
            self._refresh_volumes()  # the downward API shows them

    async def _step(self) -> bool:
        """Look, plan, act, report once; True when nothing is left to do, ever."""
        self._woken.clear()
        self._notice_changes()
        self._allotment.follow(self._reporter.pod)
        await self._look_again()
        now = self._shared.clock.now()
        if (late := ending.past_deadline(self.pod, now)) is not None:
            self.stop(late)
        is_ending = ending.is_ending(self.pod, self.observed, self._standing)
        if is_ending:
            await self._begin_ending(now)
        else:
            self._prober.follow(self.pod, self.observed, self._ready_before)
        standing = self._snapshot()
        plan = pod_plan.pod_plan(self.pod, self.observed, standing, now)
        for act in plan.acts:
            self._begin(act)
        self._tell_back_offs(plan)
        self._report(now)
        if plan.is_over and STATUS not in self._tasks:
            return await self._finish()
        self._plan_again(plan)
        return False

    async def _look_again(self) -> None:
        """A picture that is newer than every finished act; a plan on an older one would repeat them."""
        while self._is_dirty:
            self._is_dirty = False
            try:
                found = await inspection.inspect(self._shared.runtime, self.uid)
                self.observed = found.on_host(self._shared.settings.node_ip) if self.pod.spec.host_network else found
            except (KnarrError, OSError) as error:
                _log.warning("pod was not inspected %s", logs.fields(pod=self.pod.metadata.name, error=error))
                await asyncio.sleep(RETRY_SECONDS)
                self._is_dirty = True
        self._read_messages()

    def _snapshot(self) -> Standing:
        """The standing as a plan or status may see it."""
        in_flight = frozenset(self._tasks) | frozenset(self._retry_at)
        pending = self._allotment.pending
        self._standing = replace(
            self._standing,
            in_flight=in_flight,
            probes=self._prober.verdicts(),
            resize_pending=(pending.reason, pending.message) if pending is not None else None,
        )
        return self._standing

    def _plan_again(self, plan: PodPlan) -> None:
        if plan.again_at is not None:
            self._retry_at["plan"] = plan.again_at
        else:
            self._retry_at.pop("plan", None)

    async def _wait(self) -> None:
        """Until woken or until the next moment that matters."""
        now = self._shared.clock.now()
        moments = [due for key, due in self._retry_at.items() if key != VOLUMES or VOLUMES not in self._tasks]
        if (due := self._reporter.due_at) is not None:
            moments.append(due)
        seconds = max(0.0, (min(moments) - now).total_seconds()) if moments else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        now = self._shared.clock.now()
        if (due := self._retry_at.get(VOLUMES)) is not None and due <= now and VOLUMES not in self._tasks:
            del self._retry_at[VOLUMES]
            self._refresh_volumes()
        for key in [key for key, due in self._retry_at.items() if due <= now and key != VOLUMES]:
            del self._retry_at[key]

    # -- acts ---

    def _begin(self, act: planned.Act) -> None:
        match act:
            case planned.RunSandbox():
                self._spawn(SANDBOX, self._run_sandbox(act))
            case planned.StopSandbox():
                self._spawn(SANDBOX, self._acts.stop_sandbox(act.id))
            case planned.StartContainer():
                self._spawn(start_key(act.name), self._start(act))
            case planned.KillContainer():
                self._due[kill_key(act.id)] = self._shared.clock.now() + timedelta(seconds=act.grace_seconds)
                self._spawn(kill_key(act.id), self._acts.kill(self.pod, self.observed, act))
            case planned.RunPreStop():
                self._due[hook_key(act.id)] = self._shared.clock.now() + timedelta(seconds=act.grace_seconds)
                self._spawn(hook_key(act.id), self._pre_stop(act))
            case planned.RemoveContainer():
                self._spawn(kill_key(act.id), self._acts.remove_container(self.observed, act.id, self._log_dir()))
            case planned.ResizeContainer() | planned.ResizePod():
                self._spawn(resize_key(act.id), self._resize(act))
            case planned.RemoveSandbox():
                self._spawn(kill_key(act.id), self._acts.remove_sandbox(act.id))

    def _spawn(self, key: str, act: Coroutine[Any, Any, None]) -> None:
        if key in self._tasks:
            act.close()
            return
        task = asyncio.create_task(act, name=f"{key} of pod {self.pod.metadata.name}")
        self._tasks[key] = task

        def done(finished: asyncio.Task[None]) -> None:
            if self._tasks.get(key) is finished:
                del self._tasks[key]
                self._due.pop(key, None)
            if not finished.cancelled() and (error := finished.exception()) is not None:
                self._failed(key, error)
            if key != STATUS:
                self._is_dirty = True
            self.wake()

        task.add_done_callback(done)

    def _failed(self, key: str, error: BaseException) -> None:
        """An act failed in a way it did not explain itself: note it and try again later."""
        known = isinstance(error, KnarrError | OSError)
        # A server that is away is its own log's matter: fifty pods would say so every second.
        level = logging.DEBUG if isinstance(error, Unavailable) else logging.WARNING
        text = logs.fields(pod=self.pod.metadata.name, act=key, error=error)
        _log.log(level, "act failed %s", text, exc_info=None if known else error)
        self._retry_at[key] = self._shared.clock.now() + timedelta(seconds=RETRY_SECONDS)

    async def _run_sandbox(self, act: planned.RunSandbox) -> None:
        problem = await self._acts.run_sandbox(self.pod, act.attempt)
        if problem is None:
            # What failed in the sandbox before says nothing of this one, and need not wait.
            self._standing = replace(self._standing, problems={})
        self._set_problem(SANDBOX, problem)

    async def _pre_stop(self, act: planned.RunPreStop) -> None:
        await self._acts.pre_stop(self.pod, self.observed, act)
        self._standing = replace(self._standing, hooked=self._standing.hooked | {act.id})

    async def _start(self, act: planned.StartContainer) -> None:
        container = members.find(self.pod, act.name)
        assert container is not None, "the plan names containers of the spec"
        ended = self.observed.latest(act.name)
        ended_at = reset.ended_at(self.pod, act.name) if ended is None else ended.finished_at
        if ended_at is not None:
            now = self._shared.clock.now()
            # Another image is another container: what the one before did is not held against it.
            is_same = ended is None or not members.has_changed(container, ended.hash)
            past = self._standing.backoffs.get(act.name, Backoff()) if is_same else Backoff()
            backoff = restarts.restarted(past, ended_at, now, self._shared.rule)
            self._standing = replace(self._standing, backoffs={**self._standing.backoffs, act.name: backoff})
        await self._volumes_ready.wait()
        problem = await self._acts.start(self.pod, container, act.attempt, self.observed)
        self._set_problem(act.name, problem)

    async def _resize(self, act: planned.ResizeContainer | planned.ResizePod) -> None:
        try:
            given = await self._acts.resize(self.pod, self.observed, act)
        except (KnarrError, OSError) as error:
            self._standing = replace(self._standing, resize_error=str(error))
            raise
        resized = {**self._standing.resized, act.id: given}
        self._standing = replace(self._standing, resized=resized, resize_error="")
        who = f"Container {act.name}" if isinstance(act, planned.ResizeContainer) else "The pod"
        self.tell("", "Normal", "ResizeCompleted", f"{who} was given its new resources")

    def _set_problem(self, name: str, problem: Problem | None) -> None:
        problems = {**self._standing.problems, name: problem}
        left = {key: value for key, value in problems.items() if value is not None}
        self._standing = replace(self._standing, problems=left)

    async def _cancel(self, keys: list[str]) -> None:
        """Cancel acts and wait until they are over, within reason."""
        tasks = [task for key, task in self._tasks.items() if key in keys]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=10)

    # -- volumes and objects ---

    def _use_sources(self) -> None:
        shared = self._shared
        shared.sources.use(self.uid, self.pod.metadata.namespace, needed(self.pod), self.sources_changed)

    def _refresh_volumes(self) -> None:
        """Look at every volume again; a change that comes while that is under way is looked at after it."""
        if VOLUMES in self._tasks:
            self._retry_at[VOLUMES] = self._shared.clock.now()
        elif not ending.is_ending(self.pod, self.observed, self._standing):
            self._spawn(VOLUMES, self._prepare_volumes())

    async def _prepare_volumes(self) -> None:
        sandbox = self.observed.ready_sandbox
        failure = await self._acts.prepare(self._files, self.pod, sandbox.ips if sandbox else ())
        if isinstance(failure, str):
            self.tell("", "Warning", "FailedMount", failure)
            self._retry_at[VOLUMES] = self._shared.clock.now() + timedelta(seconds=acts.VOLUME_RETRY_SECONDS)
            return
        self._volumes_ready.set()
        if failure is not None:
            self._retry_at[VOLUMES] = failure

    def _read_messages(self) -> None:
        """The termination messages of containers that ended since the last look."""
        present = {c.id for c in self.observed.containers} | {sandbox.id for sandbox in self.observed.sandboxes}
        resized = {key: given for key, given in self._standing.resized.items() if key in present}
        messages = inspection.messages(
            self.pod, self.observed, self._standing.messages, self._files.message_path, self._log_dir()
        )
        self._standing = replace(self._standing, messages=messages, resized=resized)

    def _log_dir(self) -> Path:
        meta = self.pod.metadata
        return self._shared.settings.log_dir(meta.namespace, meta.name, self.uid)

    def _recover_backoffs(self) -> None:
        backoffs = pod_plan.recovered_backoffs(self.pod, self.observed)
        resized = {**recovered_gift(self.pod, self.observed), **self._standing.resized}
        self._standing = replace(self._standing, backoffs=backoffs, resized=resized)

    def _tell_back_offs(self, plan: PodPlan) -> None:
        for name, _due in plan.waiting:
            latest = self.observed.latest(name)
            if latest is not None and self._told.get(name) != latest.attempt:
                self._told[name] = latest.attempt
                where = f"{self.pod.metadata.name}_{self.pod.metadata.namespace}({self.uid})"
                text = f"Back-off restarting failed container {name} in pod {where}"
                self.tell(name, "Warning", "BackOff", text)

    # -- the end ---

    async def _begin_ending(self, now: Instant) -> None:
        """Fix the moment of SIGKILL once; a later, shorter grace moves it. Kills that would take longer begin again."""
        self._prober.end_restarting()
        kill_at = ending.kill_at(self.pod, self._standing, now)
        before = self._standing.kill_at
        if before is None or kill_at < before - timedelta(seconds=1):
            self._standing = replace(self._standing, kill_at=kill_at)
            latest = kill_at + timedelta(seconds=1)
            keys = [
                key
                for key in self._tasks
                if key.startswith("start/") or key == VOLUMES or self._due.get(key, latest) > latest
            ]
            await self._cancel(keys)
            await self._look_again()

    async def _finish(self) -> bool:
        """Nothing runs any more: tidy up and, if the pod was deleted, let the API forget it."""
        is_leaving = self._standing.is_gone or self.pod.metadata.deletion_timestamp is not None
        if not self._is_finished:
            self._is_finished = True
            self._prober.stop()
            self.is_admitted = False  # what it held is free
            self._shared.allocations.freed()
            await self._shared.aside(self._files.volumes.remove)
        if not is_leaving:
            self._shared.sources.release(self.uid)
            return False
        if not self._standing.is_gone and not self._is_deleted:
            await self._delete()
        await self._acts.forget(self.uid, self.observed, self._log_dir())
        return self._standing.is_gone

    async def _delete(self) -> None:
        """Ask the API to remove the pod; the watch will say when it has. It has no more than a static pod's mirror."""
        if self.is_static:
            self._standing = replace(self._standing, is_gone=True)
            return
        options = DeleteOptions(grace_period_seconds=0, uid=self.uid)
        meta = self.pod.metadata
        try:
            await self._shared.client.delete(POD, meta.namespace, meta.name, options)
            self._is_deleted = True
        except (NotFound, Conflict):
            self._standing = replace(self._standing, is_gone=True)
        except (KnarrError, OSError) as error:
            self._failed("delete", error)

    # -- the status ---

    def _report(self, now: Instant) -> None:
        """Begin to write the status if it differs from the API's."""
        if self._standing.is_gone or STATUS in self._tasks or STATUS in self._retry_at:
            return
        before = self._reporter.pod
        patch = self._reporter.patch(self.pod, self.observed, self._snapshot(), now)
        if patch is not None:
            self._spawn(STATUS, self._reporter.write(patch))
        if self._reporter.pod is not before:
            self._woken.set()  # nobody else will tell what it has kept to itself
