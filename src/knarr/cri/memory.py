"""A runtime in memory: RuntimeService and ImageService that keep sandboxes and containers as values and run nothing.

For tests, scenarios and simulation. A container "runs" until `exit` is called, or as a `Script` for its name says. Exec
answers are scripted too. It behaves as a real runtime does at the seam: unknown ids are NotFound, stopping and removing
the absent succeed, events are sent in order.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from knarr.base.clock import Clock
from knarr.base.errors import AlreadyExists, NotFound, Unimplemented
from knarr.cri.messages import config, container, image, runtime, sandbox, stats
from knarr.cri.messages.enums import ContainerEventType, ContainerState, PodSandboxState

CREATED, RUNNING, EXITED = (
    ContainerState.CONTAINER_CREATED,
    ContainerState.CONTAINER_RUNNING,
    ContainerState.CONTAINER_EXITED,
)
EVENTS_MAX = 10_000


@dataclass(slots=True)
class Script:
    """What containers of one name do: `exits` are codes used one per start (empty: run on), after `after` seconds;
    `memory` and `disk` are the bytes that they use."""

    exits: deque[int] = field(default_factory=deque)
    after: float = 0.0
    ignores_term: bool = False
    memory: int = 0
    disk: int = 0
    exec: Callable[[tuple[str, ...]], tuple[int, bytes]] | None = None


@dataclass(slots=True)
class MemoryContainer:
    status: sandbox.ContainerStatus
    sandbox_id: str
    config: config.ContainerConfig


class MemoryRuntime:
    """RuntimeService in memory. `scripts` are keyed by container name."""

    def __init__(self, clock: Clock, *, first_address: int = 2) -> None:
        self.scripts: dict[str, Script] = {}
        self.containers: dict[str, MemoryContainer] = {}
        self.sandboxes: dict[str, sandbox.PodSandboxStatus] = {}
        self.sandbox_configs: dict[str, config.PodSandboxConfig] = {}
        self.has_user_namespaces = False
        self._clock = clock
        self._numbers = itertools.count(1)
        self._addresses = itertools.count(first_address)
        self._listeners: list[asyncio.Queue[container.ContainerEventResponse]] = []
        self._timers: dict[str, asyncio.TimerHandle] = {}

    # -- what a test does ---

    def named(self, pod: str, name: str) -> MemoryContainer:
        """The newest container of a pod; NotFound if there is none."""
        found = [c for c in self.containers.values() if self._pod_name(c) == pod and c.status.metadata.name == name]  # type: ignore[union-attr]  # create_container always sets it
        if not found:
            raise NotFound(f"no container {name!r} of pod {pod!r}")
        return max(found, key=lambda c: c.status.created_at)

    def exit(self, container_id: str, code: int = 0, *, reason: str = "") -> None:
        """End a running container with that code."""
        found = self._container(container_id)
        if found.status.state != RUNNING:
            return
        timer = self._timers.pop(container_id, None)
        if timer is not None:
            timer.cancel()
        why = reason or ("Completed" if code == 0 else "Error")
        self._change(found, state=EXITED, exit_code=code, finished_at=self._nanoseconds(), reason=why)
        self._tell(found, ContainerEventType.CONTAINER_STOPPED_EVENT)

    # -- sandboxes ---

    async def run_pod_sandbox(self, request: sandbox.RunPodSandboxRequest) -> sandbox.RunPodSandboxResponse:
        wanted = request.config or config.PodSandboxConfig()
        if any(held.metadata == wanted.metadata for held in self.sandboxes.values()):
            raise AlreadyExists(f"sandbox name {wanted.metadata} is reserved")
        sandbox_id = f"sandbox-{next(self._numbers)}"
        number = next(self._addresses)
        self.sandbox_configs[sandbox_id] = wanted
        self.sandboxes[sandbox_id] = sandbox.PodSandboxStatus(
            id=sandbox_id,
            metadata=wanted.metadata,
            state=PodSandboxState.SANDBOX_READY,
            created_at=self._nanoseconds(),
            network=sandbox.PodSandboxNetworkStatus(ip=f"10.244.{number // 250}.{number % 250}"),
            labels=wanted.labels,
            annotations=wanted.annotations,
        )
        for event in (ContainerEventType.CONTAINER_CREATED_EVENT, ContainerEventType.CONTAINER_STARTED_EVENT):
            self._tell_of(sandbox_id, self.sandboxes[sandbox_id], event)
        return sandbox.RunPodSandboxResponse(pod_sandbox_id=sandbox_id)

    async def stop_pod_sandbox(self, request: sandbox.StopPodSandboxRequest) -> sandbox.StopPodSandboxResponse:
        found = self.sandboxes.get(request.pod_sandbox_id)
        if found is not None:
            for item in [c for c in self.containers.values() if c.sandbox_id == found.id]:
                self.exit(item.status.id, 137)
            stopped = msgspec.structs.replace(found, state=PodSandboxState.SANDBOX_NOTREADY)
            self.sandboxes[found.id] = stopped
            if found.state is PodSandboxState.SANDBOX_READY:
                self._tell_of(found.id, stopped, ContainerEventType.CONTAINER_STOPPED_EVENT)
        return sandbox.StopPodSandboxResponse()

    async def remove_pod_sandbox(self, request: sandbox.RemovePodSandboxRequest) -> sandbox.RemovePodSandboxResponse:
        await self.stop_pod_sandbox(sandbox.StopPodSandboxRequest(pod_sandbox_id=request.pod_sandbox_id))
        for item in [c for c in self.containers.values() if c.sandbox_id == request.pod_sandbox_id]:
            del self.containers[item.status.id]
        gone = self.sandboxes.pop(request.pod_sandbox_id, None)
        self.sandbox_configs.pop(request.pod_sandbox_id, None)
        if gone is not None:
            self._tell_of(gone.id, gone, ContainerEventType.CONTAINER_DELETED_EVENT)
        return sandbox.RemovePodSandboxResponse()

    async def pod_sandbox_status(self, request: sandbox.PodSandboxStatusRequest) -> sandbox.PodSandboxStatusResponse:
        found = self.sandboxes.get(request.pod_sandbox_id)
        if found is None:
            raise NotFound(f"sandbox {request.pod_sandbox_id!r} not found")
        return sandbox.PodSandboxStatusResponse(status=found)

    async def list_pod_sandbox(self, request: sandbox.ListPodSandboxRequest) -> sandbox.ListPodSandboxResponse:
        wanted = request.filter or sandbox.PodSandboxFilter()
        items = tuple(
            sandbox.PodSandbox(id=s.id, metadata=s.metadata, state=s.state, created_at=s.created_at, labels=s.labels)
            for s in self.sandboxes.values()
            if wanted.id in ("", s.id)
            and wanted.label_selector.items() <= s.labels.items()
            and (wanted.state is None or wanted.state.state == s.state)
        )
        return sandbox.ListPodSandboxResponse(items=items)

    # -- containers ---

    async def create_container(self, request: container.CreateContainerRequest) -> container.CreateContainerResponse:
        if request.pod_sandbox_id not in self.sandboxes:
            raise NotFound(f"sandbox {request.pod_sandbox_id!r} not found")
        wanted = request.config or config.ContainerConfig()
        siblings = [held for held in self.containers.values() if held.sandbox_id == request.pod_sandbox_id]
        if any(held.config.metadata == wanted.metadata for held in siblings):
            raise AlreadyExists(f"container name {wanted.metadata} is reserved")
        container_id = f"container-{next(self._numbers)}"
        status = sandbox.ContainerStatus(
            id=container_id,
            metadata=wanted.metadata,
            state=CREATED,
            created_at=self._nanoseconds(),
            image=config.ImageSpec(image=wanted.image.user_specified_image if wanted.image else ""),
            image_ref=wanted.image.image if wanted.image else "",
            labels=wanted.labels,
            annotations=wanted.annotations,
            mounts=wanted.mounts,
            log_path=wanted.log_path,
        )
        self.containers[container_id] = MemoryContainer(status, request.pod_sandbox_id, wanted)
        self._tell(self.containers[container_id], ContainerEventType.CONTAINER_CREATED_EVENT)
        return container.CreateContainerResponse(container_id=container_id)

    async def start_container(self, request: container.StartContainerRequest) -> container.StartContainerResponse:
        found = self._container(request.container_id)
        self._change(found, state=RUNNING, started_at=self._nanoseconds())
        self._tell(found, ContainerEventType.CONTAINER_STARTED_EVENT)
        script = self._script(found)
        if script.exits:
            code = script.exits.popleft()
            loop = asyncio.get_running_loop()
            self._timers[found.status.id] = loop.call_later(script.after, self.exit, found.status.id, code)
        return container.StartContainerResponse()

    async def stop_container(self, request: container.StopContainerRequest) -> container.StopContainerResponse:
        found = self.containers.get(request.container_id)
        if found is not None and found.status.state == RUNNING:
            if self._script(found).ignores_term:
                await asyncio.sleep(request.timeout)
            self.exit(request.container_id, 137 if self._script(found).ignores_term else 143)
        return container.StopContainerResponse()

    async def remove_container(self, request: container.RemoveContainerRequest) -> container.RemoveContainerResponse:
        found = self.containers.get(request.container_id)
        if found is not None:
            self.exit(request.container_id, 137)
            del self.containers[request.container_id]
            self._tell(found, ContainerEventType.CONTAINER_DELETED_EVENT)
        return container.RemoveContainerResponse()

    async def container_status(self, request: container.ContainerStatusRequest) -> container.ContainerStatusResponse:
        return container.ContainerStatusResponse(status=self._container(request.container_id).status)

    async def list_containers(self, request: container.ListContainersRequest) -> container.ListContainersResponse:
        wanted = request.filter or container.ContainerFilter()
        return container.ListContainersResponse(
            containers=tuple(
                container.Container(
                    id=c.status.id,
                    pod_sandbox_id=c.sandbox_id,
                    metadata=c.status.metadata,
                    image=c.status.image,
                    image_ref=c.status.image_ref,
                    state=c.status.state,
                    created_at=c.status.created_at,
                    labels=c.status.labels,
                    annotations=c.status.annotations,
                )
                for c in self.containers.values()
                if wanted.id in ("", c.status.id)
                and wanted.pod_sandbox_id in ("", c.sandbox_id)
                and wanted.label_selector.items() <= c.status.labels.items()
                and (wanted.state is None or wanted.state.state == c.status.state)
            )
        )

    async def exec_sync(self, request: container.ExecSyncRequest) -> container.ExecSyncResponse:
        found = self._container(request.container_id)
        script = self._script(found)
        code, output = script.exec(request.cmd) if script.exec else (0, b"")
        return container.ExecSyncResponse(stdout=output, exit_code=code)

    async def reopen_container_log(
        self, request: container.ReopenContainerLogRequest
    ) -> container.ReopenContainerLogResponse:
        self._container(request.container_id)
        return container.ReopenContainerLogResponse()

    async def update_container_resources(
        self, request: container.UpdateContainerResourcesRequest
    ) -> container.UpdateContainerResourcesResponse:
        found = self._container(request.container_id)
        self._change(found, annotations={**found.status.annotations, **request.annotations})
        return container.UpdateContainerResourcesResponse()

    async def get_container_events(
        self, request: container.GetEventsRequest
    ) -> AsyncIterator[container.ContainerEventResponse]:
        queue: asyncio.Queue[container.ContainerEventResponse] = asyncio.Queue(EVENTS_MAX)
        self._listeners.append(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._listeners.remove(queue)

    # -- the runtime itself ---

    async def version(self, request: runtime.VersionRequest) -> runtime.VersionResponse:
        return runtime.VersionResponse(
            version="0.1.0", runtime_name="memory", runtime_version="1.0", runtime_api_version="v1"
        )

    async def status(self, request: runtime.StatusRequest) -> runtime.StatusResponse:
        ready = ("RuntimeReady", "NetworkReady")
        conditions = tuple(runtime.RuntimeCondition(type=name, status=True) for name in ready)
        features = runtime.RuntimeHandlerFeatures(
            recursive_read_only_mounts=True, user_namespaces=self.has_user_namespaces
        )
        return runtime.StatusResponse(
            status=runtime.RuntimeStatus(conditions=conditions),
            runtime_handlers=(runtime.RuntimeHandler(features=features),),
        )

    async def container_stats(self, request: stats.ContainerStatsRequest) -> stats.ContainerStatsResponse:
        return stats.ContainerStatsResponse(stats=self._stats(self._container(request.container_id)))

    async def list_container_stats(self, request: stats.ListContainerStatsRequest) -> stats.ListContainerStatsResponse:
        running = [found for found in self.containers.values() if found.status.state == RUNNING]
        return stats.ListContainerStatsResponse(stats=tuple(self._stats(found) for found in running))

    async def pod_sandbox_stats(self, request: stats.PodSandboxStatsRequest) -> stats.PodSandboxStatsResponse:
        """What the running containers use together."""
        if request.pod_sandbox_id not in self.sandboxes:
            raise NotFound(f"sandbox {request.pod_sandbox_id!r} not found")
        inside = [c for c in self.containers.values() if c.sandbox_id == request.pod_sandbox_id]
        used = image.UInt64Value(value=sum(self._script(c).memory for c in inside if c.status.state == RUNNING))
        memory = stats.MemoryUsage(timestamp=self._nanoseconds(), working_set_bytes=used)
        return stats.PodSandboxStatsResponse(
            stats=stats.PodSandboxStats(linux=stats.LinuxPodSandboxStats(memory=memory))
        )

    async def list_pod_sandbox_stats(
        self, request: stats.ListPodSandboxStatsRequest
    ) -> stats.ListPodSandboxStatsResponse:
        return stats.ListPodSandboxStatsResponse()

    def __getattr__(self, name: str) -> Any:
        """Every other RPC of the specification is refused, as a runtime without it would."""
        if name.startswith("_"):
            raise AttributeError(name)

        def refuse(_request: object) -> Any:
            raise Unimplemented(f"the runtime in memory has no {name}")

        return refuse

    # -- inside ---

    def _container(self, container_id: str) -> MemoryContainer:
        found = self.containers.get(container_id)
        if found is None:
            raise NotFound(f"container {container_id!r} not found")
        return found

    def _script(self, found: MemoryContainer) -> Script:
        return self.scripts.get(found.config.metadata.name if found.config.metadata else "", Script())

    def _stats(self, found: MemoryContainer) -> stats.ContainerStats:
        status, script, at = found.status, self._script(found), self._nanoseconds()
        return stats.ContainerStats(
            attributes=stats.ContainerAttributes(id=status.id, metadata=status.metadata, labels=status.labels),
            cpu=stats.CpuUsage(timestamp=at, usage_core_nano_seconds=image.UInt64Value(value=0)),
            memory=stats.MemoryUsage(timestamp=at, working_set_bytes=image.UInt64Value(value=script.memory)),
            writable_layer=image.FilesystemUsage(timestamp=at, used_bytes=image.UInt64Value(value=script.disk)),
        )

    def _pod_name(self, found: MemoryContainer) -> str:
        metadata = self.sandbox_configs[found.sandbox_id].metadata
        return metadata.name if metadata else ""

    def _change(self, found: MemoryContainer, **changes: Any) -> None:
        found.status = msgspec.structs.replace(found.status, **changes)

    def _tell(self, found: MemoryContainer, event: ContainerEventType) -> None:
        self._tell_of(found.status.id, self.sandboxes.get(found.sandbox_id), event)

    def _tell_of(self, identity: str, pod: sandbox.PodSandboxStatus | None, event: ContainerEventType) -> None:
        response = container.ContainerEventResponse(
            container_id=identity,
            container_event_type=event,
            created_at=self._nanoseconds(),
            pod_sandbox_status=pod,
            containers_statuses=tuple(
                held.status for held in self.containers.values() if pod is not None and held.sandbox_id == pod.id
            ),
        )
        for queue in self._listeners:
            queue.put_nowait(response)

    def _nanoseconds(self) -> int:
        return int(self._clock.now().timestamp() * 1_000_000) * 1000


class MemoryImages:
    """ImageService in memory: `present` images are there; `pullable` ones come by a pull; others are refused."""

    def __init__(self, present: tuple[str, ...] = (), pullable: tuple[str, ...] = ()) -> None:
        self.images: dict[str, image.Image] = {name: memory_image(name) for name in present}
        self.pullable = set(pullable)

    async def image_status(self, request: image.ImageStatusRequest) -> image.ImageStatusResponse:
        name = request.image.image if request.image else ""
        found = next((i for key, i in self.images.items() if name in (key, i.id)), None)
        return image.ImageStatusResponse(image=found)

    async def list_images(self, request: image.ListImagesRequest) -> image.ListImagesResponse:
        return image.ListImagesResponse(images=tuple(self.images.values()))

    async def pull_image(self, request: image.PullImageRequest) -> image.PullImageResponse:
        name = request.image.image if request.image else ""
        if name not in self.pullable and name not in self.images:
            raise NotFound(f"{name}: not found")
        self.images.setdefault(name, memory_image(name))
        return image.PullImageResponse(image_ref=self.images[name].id)

    async def remove_image(self, request: image.RemoveImageRequest) -> image.RemoveImageResponse:
        name = request.image.image if request.image else ""
        for key in [key for key, found in self.images.items() if name in (key, found.id)]:
            del self.images[key]
        return image.RemoveImageResponse()

    async def image_fs_info(self, request: image.ImageFsInfoRequest) -> image.ImageFsInfoResponse:
        return image.ImageFsInfoResponse()

    def stream_images(self, request: image.StreamImagesRequest) -> AsyncIterator[image.StreamImagesResponse]:
        raise Unimplemented("the images in memory are not streamed")


def memory_image(name: str, *, uid: int | None = None, username: str = "") -> image.Image:
    """An image of that name; its id is made from the name."""
    return image.Image(
        id=f"sha256:{name}",
        repo_tags=(name,),
        size=1024,
        uid=None if uid is None else config.Int64Value(value=uid),
        username=username,
    )
