"""The contract of cri.protocol.RuntimeService: in memory and real, called in process and over the gRPC socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from knarr.base.clock import SystemClock
from knarr.base.errors import AlreadyExists, KnarrError, NotFound
from knarr.cri.memory import MemoryImages, MemoryRuntime
from knarr.cri.messages import config as c
from knarr.cri.messages import container as m
from knarr.cri.messages import runtime as r
from knarr.cri.messages import sandbox as s
from knarr.cri.messages.enums import ContainerEventType, ContainerState, PodSandboxState
from knarr.cri.protocol import RuntimeService
from tests.contracts import real_node

SECONDS = 20.0
CREATED = ContainerEventType.CONTAINER_CREATED_EVENT
STARTED = ContainerEventType.CONTAINER_STARTED_EVENT
STOPPED = ContainerEventType.CONTAINER_STOPPED_EVENT
DELETED = ContainerEventType.CONTAINER_DELETED_EVENT
READY, NOTREADY = PodSandboxState.SANDBOX_READY, PodSandboxState.SANDBOX_NOTREADY


@dataclass(frozen=True)
class Subject:
    service: RuntimeService
    logs: Path
    is_real: bool


@pytest.fixture(params=["memory", "memory-grpc", "real", "real-grpc"])
async def subject(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Subject]:
    kind: str = request.param
    async with contextlib.AsyncExitStack() as stack:
        service: RuntimeService
        if kind.startswith("real"):
            if real_node.missing():
                pytest.skip(f"real containers need {real_node.missing()}")
            real_node.busybox_root(tmp_path / "root")
            service = await stack.enter_async_context(real_node.opened(tmp_path))
            stack.push_async_callback(real_node.torn_down, tmp_path)
        else:
            service = MemoryRuntime(SystemClock())
        if kind.endswith("grpc"):
            service = await stack.enter_async_context(over_grpc(service, tmp_path / "cri.sock"))
        yield Subject(service, tmp_path / "logs", kind.startswith("real"))
        for item in (await service.list_pod_sandbox(s.ListPodSandboxRequest())).items:
            await service.remove_pod_sandbox(s.RemovePodSandboxRequest(pod_sandbox_id=item.id))


@contextlib.asynccontextmanager
async def over_grpc(service: RuntimeService, socket: Path) -> AsyncIterator[RuntimeService]:
    from knarr.cri import grpc_client
    from knarr.criserver import grpc

    server = await grpc.start(socket, service, MemoryImages())
    assert socket.stat().st_mode & 0o777 == 0o600
    connection = grpc_client.Connection(socket)
    try:
        await connection.ready(SECONDS)
        yield connection.runtime
    finally:
        await connection.close()
        await server.stop(0)


def pod(subject: Subject, name: str = "web") -> c.PodSandboxConfig:
    return c.PodSandboxConfig(
        metadata=c.PodSandboxMetadata(name=name, namespace="default", uid=f"uid-{name}"),
        hostname=name,
        log_directory=str(subject.logs / name),
        labels={"pod": name},
        annotations={"note": "kept"},
    )


def command(script: str, name: str = "main") -> c.ContainerConfig:
    return c.ContainerConfig(
        metadata=c.ContainerMetadata(name=name),
        image=c.ImageSpec(image="busybox"),
        command=("/bin/sh", "-c", script),
        log_path=f"{name}/0.log",
        labels={"container": name},
    )


async def sandbox(subject: Subject, name: str = "web") -> str:
    return (await subject.service.run_pod_sandbox(s.RunPodSandboxRequest(config=pod(subject, name)))).pod_sandbox_id


async def created(subject: Subject, owner: str, script: str = "sleep 60", name: str = "main") -> str:
    request = m.CreateContainerRequest(pod_sandbox_id=owner, config=command(script, name), sandbox_config=pod(subject))
    return (await subject.service.create_container(request)).container_id


async def status(subject: Subject, container: str) -> s.ContainerStatus:
    found = (await subject.service.container_status(m.ContainerStatusRequest(container_id=container))).status
    assert found is not None
    return found


async def test_the_version_names_the_interface(subject: Subject) -> None:
    version = await subject.service.version(r.VersionRequest())
    assert (version.runtime_api_version, version.version) == ("v1", "0.1.0")


async def test_a_sandbox_is_ready_and_keeps_what_it_was_told(subject: Subject) -> None:
    identity = await sandbox(subject)
    found = (await subject.service.pod_sandbox_status(s.PodSandboxStatusRequest(pod_sandbox_id=identity))).status
    assert found is not None
    assert (found.state, found.metadata, found.labels, found.annotations) == (
        PodSandboxState.SANDBOX_READY,
        pod(subject).metadata,
        {"pod": "web"},
        {"note": "kept"},
    )
    assert found.network is not None
    assert found.network.ip.startswith("10.24")


async def test_stopping_and_removing_a_sandbox_is_idempotent(subject: Subject) -> None:
    identity = await sandbox(subject)
    for _ in range(2):
        await subject.service.stop_pod_sandbox(s.StopPodSandboxRequest(pod_sandbox_id=identity))
    found = (await subject.service.pod_sandbox_status(s.PodSandboxStatusRequest(pod_sandbox_id=identity))).status
    assert found is not None
    assert found.state is PodSandboxState.SANDBOX_NOTREADY
    for _ in range(2):
        await subject.service.remove_pod_sandbox(s.RemovePodSandboxRequest(pod_sandbox_id=identity))
    with pytest.raises(NotFound):
        await subject.service.pod_sandbox_status(s.PodSandboxStatusRequest(pod_sandbox_id=identity))


async def test_a_container_goes_from_created_to_running_to_exited(subject: Subject) -> None:
    identity = await created(subject, await sandbox(subject), "exec sleep 60")
    states = [(await status(subject, identity)).state]
    await subject.service.start_container(m.StartContainerRequest(container_id=identity))
    states.append((await status(subject, identity)).state)
    await subject.service.stop_container(m.StopContainerRequest(container_id=identity, timeout=0))
    ended = await status(subject, identity)
    assert [*states, ended.state] == [
        ContainerState.CONTAINER_CREATED,
        ContainerState.CONTAINER_RUNNING,
        ContainerState.CONTAINER_EXITED,
    ]
    assert ended.exit_code in (137, 143)
    assert 0 < ended.created_at <= ended.started_at <= ended.finished_at


async def test_the_unknown_is_not_found_and_its_removal_succeeds(subject: Subject) -> None:
    with pytest.raises(NotFound):
        await subject.service.container_status(m.ContainerStatusRequest(container_id="nothing"))
    with pytest.raises(NotFound):
        await created(subject, "nothing")
    await subject.service.remove_container(m.RemoveContainerRequest(container_id="nothing"))
    await subject.service.stop_container(m.StopContainerRequest(container_id="nothing"))


async def test_lists_are_filtered_by_label_state_and_sandbox(subject: Subject) -> None:
    first, second = await sandbox(subject, "a"), await sandbox(subject, "b")
    one, two = await created(subject, first, name="one"), await created(subject, second, name="two")
    await subject.service.start_container(m.StartContainerRequest(container_id=two))

    async def ids(wanted: m.ContainerFilter) -> set[str]:
        answer = await subject.service.list_containers(m.ListContainersRequest(filter=wanted))
        return {item.id for item in answer.containers}

    assert await ids(m.ContainerFilter()) == {one, two}
    assert await ids(m.ContainerFilter(label_selector={"container": "one"})) == {one}
    assert await ids(m.ContainerFilter(pod_sandbox_id=second)) == {two}
    running = m.ContainerStateValue(state=ContainerState.CONTAINER_RUNNING)
    assert await ids(m.ContainerFilter(state=running)) == {two}
    wanted = s.PodSandboxFilter(label_selector={"pod": "a"})
    found = await subject.service.list_pod_sandbox(s.ListPodSandboxRequest(filter=wanted))
    assert [item.id for item in found.items] == [first]


async def test_events_tell_of_every_step_in_order(subject: Subject) -> None:
    """(of the sandbox, kind, the sandbox's state, states of its containers), as other runtimes tell them."""
    stream = subject.service.get_container_events(m.GetEventsRequest())
    seen: list[m.ContainerEventResponse] = []
    stands = asyncio.Event()

    async def collect() -> None:
        async for event in stream:
            stands.set()
            own = event.pod_sandbox_status
            if own and own.metadata and own.metadata.name == "early":
                continue
            seen.append(event)
            if own and own.id == event.container_id and event.container_event_type is DELETED:
                return

    reader = asyncio.create_task(collect())
    async with asyncio.timeout(SECONDS):
        while not stands.is_set():  # only an event tells that the subscription stands
            early = await sandbox(subject, "early")
            await subject.service.remove_pod_sandbox(s.RemovePodSandboxRequest(pod_sandbox_id=early))
            await asyncio.sleep(0)  # in memory nothing of this waits
    owner = await sandbox(subject)
    identity = await created(subject, owner)
    await subject.service.start_container(m.StartContainerRequest(container_id=identity))
    await subject.service.stop_container(m.StopContainerRequest(container_id=identity, timeout=0))
    await subject.service.remove_container(m.RemoveContainerRequest(container_id=identity))
    for _ in range(2):
        await subject.service.stop_pod_sandbox(s.StopPodSandboxRequest(pod_sandbox_id=owner))
        await subject.service.remove_pod_sandbox(s.RemovePodSandboxRequest(pod_sandbox_id=owner))
    await asyncio.wait_for(reader, SECONDS)
    assert [summary(event) for event in seen] == [
        (True, CREATED, READY, []),
        (True, STARTED, READY, []),
        (False, CREATED, READY, [ContainerState.CONTAINER_CREATED]),
        (False, STARTED, READY, [ContainerState.CONTAINER_RUNNING]),
        (False, STOPPED, READY, [ContainerState.CONTAINER_EXITED]),
        (False, DELETED, READY, []),
        (True, STOPPED, NOTREADY, []),
        (True, DELETED, NOTREADY, []),
    ]


def summary(event: m.ContainerEventResponse) -> tuple[bool, ContainerEventType, PodSandboxState, list[ContainerState]]:
    pod = event.pod_sandbox_status
    assert pod is not None
    states = [status.state for status in event.containers_statuses]
    return event.container_id == pod.id, event.container_event_type, pod.state, states


async def test_what_is_not_offered_says_so(subject: Subject) -> None:
    with pytest.raises(KnarrError):
        await subject.service.checkpoint_container(m.CheckpointContainerRequest(container_id="x"))


async def test_what_removes_goes_on_to_its_end_when_the_client_gives_up(tmp_path: Path) -> None:
    """A foreign runtime would give up half way, with its network half torn down."""
    from knarr.cri import grpc_client
    from knarr.criserver import grpc

    class Slow(MemoryRuntime):
        began, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def stop_pod_sandbox(self, request: s.StopPodSandboxRequest) -> s.StopPodSandboxResponse:
            self.began.set()
            await self.may_end.wait()
            self.ended.set()
            return await super().stop_pod_sandbox(request)

    service = Slow(SystemClock())
    server = await grpc.start(tmp_path / "sock", service, MemoryImages())
    connection = grpc_client.Connection(tmp_path / "sock")
    await connection.ready(SECONDS)
    stopping = asyncio.ensure_future(connection.runtime.stop_pod_sandbox(s.StopPodSandboxRequest(pod_sandbox_id="x")))
    await asyncio.wait_for(service.began.wait(), SECONDS)
    stopping.cancel()
    await asyncio.gather(stopping, return_exceptions=True)
    closing = asyncio.ensure_future(connection.close())
    await asyncio.wait({closing}, timeout=0.1)
    assert not closing.done()
    service.may_end.set()
    await closing
    assert service.ended.is_set()
    await server.stop(0)


async def test_a_name_is_taken_until_its_holder_is_removed(subject: Subject) -> None:
    """As other runtimes have it: a call that a client makes again after a cut makes no second pod."""
    owner = await sandbox(subject)
    with pytest.raises(AlreadyExists, match="is reserved"):
        await sandbox(subject)
    identity = await created(subject, owner)
    with pytest.raises(AlreadyExists, match="is reserved"):
        await created(subject, owner)
    await subject.service.stop_pod_sandbox(s.StopPodSandboxRequest(pod_sandbox_id=owner))
    with pytest.raises(AlreadyExists, match="is reserved"):
        await sandbox(subject)
    await subject.service.remove_container(m.RemoveContainerRequest(container_id=identity))
    await subject.service.remove_pod_sandbox(s.RemovePodSandboxRequest(pod_sandbox_id=owner))
    again = await sandbox(subject)
    await created(subject, again)
