"""Ends of sandboxes and containers: against what else happens meanwhile, and what is let go of, or is not."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from knarr.base import linux
from knarr.base.clock import SystemClock
from knarr.base.ids import ContainerId, SandboxId
from knarr.cri.messages.config import (
    ContainerConfig,
    IDMapping,
    LinuxContainerConfig,
    LinuxContainerSecurityContext,
    NamespaceOption,
    PodSandboxConfig,
    UserNamespace,
)
from knarr.cri.messages.enums import ContainerEventType, NamespaceMode, PodSandboxState
from knarr.cri.messages.sandbox import StopPodSandboxRequest
from knarr.criserver import compose
from knarr.criserver.containers import remove, start, stop
from knarr.criserver.events import Events
from knarr.criserver.node import Node, Places, now
from knarr.criserver.records import ContainerRecord, Records, SandboxRecord
from knarr.criserver.rootfs import DirectoryRoots
from knarr.criserver.sandboxes import loss, teardown
from knarr.network.memory import MemoryNetwork
from knarr.runtime.cgroups import Cgroups
from knarr.runtime.memory import MemoryRuntime
from knarr.runtime.runtime import ContainerSpec

POD, EARLY, LATE = SandboxId("pod0"), ContainerId("early"), ContainerId("late")


class Crossed(MemoryRuntime):
    """Something happens while the first signal is under way."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def signal(self, container: ContainerId, signal: int) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        await super().signal(container, signal)

    async def recover(self) -> list[ContainerId]:
        return []

    def pid(self, container: ContainerId) -> int:
        return 1


def node_of(directory: Path, runtime: Crossed) -> Node:
    without_monitor: Any = runtime  # nobody attaches here
    return Node(
        places=Places(directory / "state", directory / "run", "/none"),
        sandboxes=Records(directory / "state" / "sandboxes", SandboxRecord),
        containers=Records(directory / "state" / "containers", ContainerRecord),
        runtime=without_monitor,
        network=MemoryNetwork(),
        roots=DirectoryRoots({}),
        cgroups=Cgroups(directory / "cgroup"),
        events=Events(),
    )


async def started(node: Node, identity: ContainerId) -> None:
    """What StartContainer does, but for the bundle."""
    async with node.locks[identity]:
        record = node.get_container(identity)
        await node.runtime.create(ContainerSpec(identity, {}, Path("/dev/null"), record.cgroup_path))
        await node.runtime.start(identity)
        record = node.containers.put(replace(record, started_at=now()))
    start.watch(node, record)


@pytest.mark.skipif(os.geteuid() != 0, reason="letting namespaces go needs root")
async def test_who_starts_while_the_others_are_killed_is_killed_too(tmp_path: Path) -> None:
    runtime = Crossed(SystemClock())
    node = node_of(tmp_path, runtime)
    node.sandboxes.put(
        SandboxRecord(id=POD, config=PodSandboxConfig(), created_at=1, cgroup_parent="/p", is_ready=True)
    )
    for identity in (LATE, EARLY):
        path = f"/p/{identity}"
        found = ContainerRecord(id=identity, sandbox=POD, config=ContainerConfig(), created_at=1, cgroup_path=path)
        node.containers.put(found)
    await started(node, EARLY)
    runtime.meanwhile = lambda: started(node, LATE)
    await teardown.stop_sandbox(node, StopPodSandboxRequest(pod_sandbox_id=POD))
    assert not node.get_sandbox(POD).is_ready
    for identity in (LATE, EARLY):
        assert not runtime.is_alive(identity)
        ended = node.get_container(identity).ended
        assert ended is not None
        assert ended.exit_code == 137


@pytest.mark.skipif(os.geteuid() != 0, reason="letting namespaces go needs root")
async def test_a_lost_sandbox_is_told_under_its_own_id_as_one_that_is_not_ready(tmp_path: Path) -> None:
    node = node_of(tmp_path, Crossed(SystemClock()))
    record = SandboxRecord(id=POD, config=PodSandboxConfig(), created_at=1, cgroup_parent="/p", is_ready=True)
    node.sandboxes.put(record)
    events = node.events.subscribe()
    await loss.lost(node, record)
    event = await anext(events)
    assert (event.container_id, event.container_event_type) == (POD, ContainerEventType.CONTAINER_STOPPED_EVENT)
    assert event.pod_sandbox_status is not None
    assert event.pod_sandbox_status.state is PodSandboxState.SANDBOX_NOTREADY


def bound(source: Path, place: Path) -> None:
    for path in (source, place):
        path.mkdir(parents=True)
    (source / "kept").touch()
    linux.mount(str(source), place, None, linux.MS_BIND)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
async def test_a_container_that_goes_takes_nothing_of_what_is_mounted_in_its_directory_along(tmp_path: Path) -> None:
    node = node_of(tmp_path, Crossed(SystemClock()))
    record = ContainerRecord(id=EARLY, sandbox=POD, config=ContainerConfig(), created_at=1, cgroup_path="/p/early")
    node.containers.put(record)
    directory = node.places.container(EARLY)
    bound(tmp_path / "volume", directory / "left")
    try:
        await remove.remove_all(node, record)
        assert (tmp_path / "volume" / "kept").exists()
        assert directory.is_dir()
    finally:
        for point in linux.mounts_below(directory):
            linux.umount(point)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
async def test_a_dead_container_of_a_user_namespace_holds_no_volume(tmp_path: Path) -> None:
    ids = (IDMapping(host_id=65536, container_id=0, length=65536),)
    users = UserNamespace(mode=NamespaceMode.POD, uids=ids, gids=ids)
    context = LinuxContainerSecurityContext(namespace_options=NamespaceOption(userns_options=users))
    config = ContainerConfig(linux=LinuxContainerConfig(security_context=context))
    node = node_of(tmp_path, Crossed(SystemClock()))
    record = ContainerRecord(id=EARLY, sandbox=POD, config=config, created_at=1, cgroup_path="/p/early")
    node.containers.put(record)
    await started(node, EARLY)
    directory = node.places.container(EARLY)
    bound(tmp_path / "volume", directory / "mapped" / "0")
    try:
        watch = node.watches[EARLY]
        await stop.kill(node, node.get_container(EARLY))
        await watch
        assert linux.mounts_below(directory) == []
        assert node.get_container(EARLY).ended is not None
    finally:
        for point in linux.mounts_below(directory):
            linux.umount(point)


def test_what_an_older_knarr_left_open_is_closed(tmp_path: Path) -> None:
    modes = {"rootfs/open": 0o755, "rootfs/of-users": 0o710, "sandboxes/open": 0o711, "runtime/open": 0o755}
    for name, mode in modes.items():
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name).chmod(mode)
    compose.make_private(tmp_path)
    assert {name: (tmp_path / name).stat().st_mode & 0o777 for name in (*modes, "rootfs", "runtime")} == {
        "rootfs/open": 0o700,
        "rootfs/of-users": 0o710,
        "sandboxes/open": 0o700,
        "runtime/open": 0o700,
        "rootfs": 0o711,
        "runtime": 0o700,
    }
