"""The acts of a pod worker, each one bounded conversation with the runtime: sandbox, start, kill, removal.

An expected failure comes back as a Problem (or a text); the worker decides when to try again. No state is kept here.
"""

import asyncio
import contextlib
import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Literal

from knarr.base import logs
from knarr.base.clock import Instant
from knarr.base.errors import Invalid, KnarrError, NotFound, Unimplemented
from knarr.cri.messages import container as cri_container
from knarr.cri.messages import runtime as cri_runtime
from knarr.cri.messages import sandbox as cri_sandbox
from knarr.cri.messages.config import PodSandboxConfig
from knarr.cri.messages.stats import ContainerStatsRequest, PodSandboxStatsRequest
from knarr.kinds import registry
from knarr.kinds.lens.pod import Pod
from knarr.kubelet import container_gc, cri_config, ending, hooks, members, resources, user_namespaces
from knarr.kubelet.images import StartFailed
from knarr.kubelet.members import AnyContainer
from knarr.kubelet.observed import RESOURCES, ObservedPod
from knarr.kubelet.planned import KillContainer, ResizeContainer, ResizePod, RunPreStop
from knarr.kubelet.preparation import PodFiles, Starter, VolumesFailed
from knarr.kubelet.shared import Shared
from knarr.kubelet.standing import Problem
from knarr.runtime.cgroups import Cgroups

_log = logs.log("kubelet")
RUNTIMECLASS = registry.row("node.k8s.io", "v1", "RuntimeClass")
Tell = Callable[[str, Literal["Normal", "Warning"], str, str], None]
SANDBOX_RETRY_SECONDS = 2.0
VOLUME_RETRY_SECONDS = 2.0
GRACE_AFTER_HOOK_SECONDS = 2
"""What a container gets for its SIGTERM when its preStop hook used up the grace (upstream's minimum)."""


class Acts:
    """What one pod's worker does to the runtime."""

    def __init__(self, shared: Shared, starter: Starter, tell: Tell) -> None:
        self._shared = shared
        self._starter = starter
        self._tell = tell

    async def run_sandbox(self, pod: Pod, attempt: int) -> Problem | None:
        """Make the pod's sandbox."""
        try:
            handler = await self._handler(pod)
            wanted = self._sandbox_config(pod, attempt)
            Path(wanted.log_directory).mkdir(parents=True, exist_ok=True)
            request = cri_sandbox.RunPodSandboxRequest(config=wanted, runtime_handler=handler)
            await self._shared.runtime.run_pod_sandbox(request)
        except (KnarrError, OSError) as error:
            self._tell("", "Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            retry_at = self._shared.clock.now() + timedelta(seconds=SANDBOX_RETRY_SECONDS)
            return Problem("ContainerCreating", str(error), retry_at)
        return None

    def _sandbox_config(self, pod: Pod, attempt: int) -> PodSandboxConfig:
        wanted = cri_config.sandbox_config(pod, attempt, self._shared.settings, self._shared.host_resolver)
        if pod.spec.host_users is not False:
            return wanted
        return user_namespaces.for_sandbox(wanted, self._shared.user_namespaces.mapping(pod.metadata.uid))

    async def _handler(self, pod: Pod) -> str:
        """The runtime handler that the pod's RuntimeClass names; what the runtime cannot do is refused, not ignored."""
        handler = ""
        if pod.spec.runtime_class_name:
            found = await self._shared.client.get(RUNTIMECLASS, "", pod.spec.runtime_class_name)
            handler = str(found.get("handler", ""))
        if pod.spec.host_users is False:
            answer = await self._shared.runtime.status(cri_runtime.StatusRequest())
            user_namespaces.refuse_without(answer.runtime_handlers, handler)
        return handler

    async def remove_sandbox(self, sandbox_id: str) -> None:
        request = cri_sandbox.RemovePodSandboxRequest(pod_sandbox_id=sandbox_id)
        await self._shared.runtime.remove_pod_sandbox(request)

    async def stop_sandbox(self, sandbox_id: str) -> None:
        request = cri_sandbox.StopPodSandboxRequest(pod_sandbox_id=sandbox_id)
        await self._shared.runtime.stop_pod_sandbox(request)

    async def prepare(self, files: PodFiles, pod: Pod, ips: tuple[str, ...]) -> Instant | str | None:
        """Prepare the volumes: the moment to do it again, or why it failed."""
        try:
            return await files.prepare(pod, ips)
        except VolumesFailed as error:
            return str(error)
        except (KnarrError, OSError) as error:
            return f"Unable to attach or mount volumes: {error}"

    async def start(self, pod: Pod, container: AnyContainer, attempt: int, observed: ObservedPod) -> Problem | None:
        """Start a container and run its postStart hook."""
        sandbox = observed.ready_sandbox
        if sandbox is None:
            return None  # it died since the plan was made; the next plan makes another
        wanted = self._sandbox_config(pod, sandbox.attempt)
        try:
            container_id = await self._starter.start(pod, container, attempt, observed, wanted)
        except StartFailed as failed:
            return failed.problem
        hook = container.lifecycle.post_start if container.lifecycle else None
        if hook is None:
            return None
        ip = sandbox.ips[0] if sandbox.ips else ""
        try:
            await hooks.run(self._shared.runtime, hook, container, container_id, ip)
        except hooks.HookFailed as error:
            self._tell(container.name, "Warning", "FailedPostStartHook", f"PostStartHook failed: {error}")
            why = KillContainer(container_id, container.name, ending.grace(pod), "FailedPostStartHook")
            await self.kill(pod, observed, why)
        return None

    async def kill(self, pod: Pod, observed: ObservedPod, act: KillContainer) -> None:
        """preStop, SIGTERM, and SIGKILL when the grace is over."""
        self._tell(act.name, "Normal", "Killing", act.why or f"Stopping container {act.name}")
        began = self._shared.clock.now()
        seconds = act.grace_seconds
        if not act.has_run_hook and await self.pre_stop(pod, observed, act):
            used = (self._shared.clock.now() - began).total_seconds()
            seconds = max(GRACE_AFTER_HOOK_SECONDS, round(seconds - used))
        request = cri_container.StopContainerRequest(container_id=act.id, timeout=seconds)
        await self._shared.runtime.stop_container(request)

    async def pre_stop(self, pod: Pod, observed: ObservedPod, act: KillContainer | RunPreStop) -> bool:
        """Run the container's preStop hook within the grace; False if it has none."""
        container = members.find(pod, act.name)
        hook = container.lifecycle.pre_stop if container is not None and container.lifecycle else None
        if hook is None or container is None:
            return False
        sandbox = observed.sandbox
        ip = sandbox.ips[0] if sandbox and sandbox.ips else ""
        try:
            async with asyncio.timeout(act.grace_seconds):
                await hooks.run(self._shared.runtime, hook, container, act.id, ip)
        except TimeoutError:
            self._tell(act.name, "Warning", "FailedPreStopHook", "PreStopHook did not complete in grace period")
        except hooks.HookFailed as error:
            self._tell(act.name, "Warning", "FailedPreStopHook", f"PreStopHook failed: {error}")
        return True

    async def resize(self, pod: Pod, observed: ObservedPod, act: ResizeContainer | ResizePod) -> str:
        """Give a container, or the pod itself, what is allocated to it; answers what was given."""
        if isinstance(act, ResizePod):
            return await self._resize_pod(pod, act.id)
        container, sandbox = members.find(pod, act.name), observed.sandbox
        assert container is not None, "the plan names containers of the spec"
        return await self._resize_container(pod, container, act.id, sandbox.id if sandbox else "")

    async def _resize_pod(self, pod: Pod, sandbox_id: str) -> str:
        await self._refuse_pod_below_usage(pod, sandbox_id)
        await self._limit_pod(pod, sandbox_id)
        return resources.pod_fingerprint(pod)

    async def _limit_pod(self, pod: Pod, sandbox_id: str) -> None:
        request = cri_sandbox.UpdatePodSandboxResourcesRequest(
            pod_sandbox_id=sandbox_id, resources=resources.pod_resources(pod)
        )
        with contextlib.suppress(Unimplemented):  # such a runtime keeps no limits of pods
            await self._shared.runtime.update_pod_sandbox_resources(request)

    async def _resize_container(self, pod: Pod, container: AnyContainer, container_id: str, sandbox_id: str) -> str:
        """Give a running container its spec's resources; answers what was given.

        A pod's limits hold its containers': they grow before a container does and shrink after it.
        """
        wanted = resources.container_resources(
            pod, container, self._shared.memory_capacity, self._shared.settings.memory_rules
        )
        given = resources.fingerprint(container)
        await self._refuse_below_usage(container_id, wanted.memory_limit_in_bytes)
        await self._refuse_pod_below_usage(pod, sandbox_id)
        has_grown = await self._could_limit_pod(pod, sandbox_id)
        request = cri_container.UpdateContainerResourcesRequest(
            container_id=container_id, linux=wanted, annotations={RESOURCES: given}
        )
        await self._shared.runtime.update_container_resources(request)
        if not has_grown:
            await self._could_limit_pod(pod, sandbox_id)
        return given

    async def _refuse_below_usage(self, container_id: str, limit: int) -> None:
        """A limit below what the container uses would have the kernel kill it. Raises Invalid, in upstream's words."""
        if not limit:
            return
        request = ContainerStatsRequest(container_id=container_id)
        stats = (await self._shared.runtime.container_stats(request)).stats
        memory = stats.memory.working_set_bytes if stats is not None and stats.memory is not None else None
        if memory is not None and memory.value > limit:
            raise Invalid(f"attempting to set container memory limit ({limit}) below current usage ({memory.value})")

    async def _refuse_pod_below_usage(self, pod: Pod, sandbox_id: str) -> None:
        """The same of the pod's own limit, as far as the runtime counts what pods use. Raises Invalid."""
        limit = resources.pod_resources(pod).memory_limit_in_bytes
        if not limit:
            return
        request = PodSandboxStatsRequest(pod_sandbox_id=sandbox_id)
        try:
            stats = (await self._shared.runtime.pod_sandbox_stats(request)).stats
        except (Unimplemented, NotFound):
            return
        memory = stats.linux.memory if stats is not None and stats.linux is not None else None
        used = memory.working_set_bytes if memory is not None else None
        if used is not None and used.value > limit:
            raise Invalid(f"attempting to set pod memory limit ({limit}) below current usage ({used.value})")

    async def _could_limit_pod(self, pod: Pod, sandbox_id: str) -> bool:
        """Whether the pod's own limits could be set: cgroup v1 refuses a quota below that of a container."""
        try:
            await self._limit_pod(pod, sandbox_id)
        except (KnarrError, OSError):
            return False
        return True

    async def remove_container(self, observed: ObservedPod, container_id: str, log_dir: Path) -> None:
        """Remove a container, and its log with it."""
        request = cri_container.RemoveContainerRequest(container_id=container_id)
        await self._shared.runtime.remove_container(request)
        removed = [container for container in observed.containers if container.id == container_id]
        await self._shared.aside(lambda: container_gc.remove_files(removed, log_dir))

    async def forget(self, uid: str, observed: ObservedPod, log_dir: Path) -> None:
        """Remove all that is left of a pod: containers, sandboxes, logs."""
        await remove(self._shared, uid, observed)
        await self._shared.aside(lambda: shutil.rmtree(log_dir, ignore_errors=True))


async def remove(shared: Shared, uid: str, observed: ObservedPod) -> None:
    """Remove the pod's containers and sandboxes from the runtime; a refusal is logged and left to the next start."""
    try:
        for item in observed.containers:
            await shared.runtime.remove_container(cri_container.RemoveContainerRequest(container_id=item.id))
        for sandbox in observed.sandboxes:
            await shared.runtime.stop_pod_sandbox(cri_sandbox.StopPodSandboxRequest(pod_sandbox_id=sandbox.id))
            await shared.runtime.remove_pod_sandbox(cri_sandbox.RemovePodSandboxRequest(pod_sandbox_id=sandbox.id))
    except (KnarrError, OSError) as error:
        _log.warning("remains were not removed %s", logs.fields(error=error))
        return
    settings = shared.settings
    if settings.removes_cgroups and not Cgroups().remove(settings.cgroup_parent(uid)):
        _log.warning("the pod's cgroup was not removed %s", logs.fields(cgroup=settings.cgroup_parent(uid)))
