"""StopPodSandbox against what else happens to the sandbox meanwhile."""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from knarr.base.clock import SystemClock
from knarr.base.ids import ContainerId, SandboxId
from knarr.cri.messages.config import ContainerConfig, PodSandboxConfig
from knarr.cri.messages.sandbox import StopPodSandboxRequest
from knarr.criserver.containers import start
from knarr.criserver.events import Events
from knarr.criserver.node import Node, Places, now
from knarr.criserver.records import ContainerRecord, Records, SandboxRecord
from knarr.criserver.rootfs import DirectoryRoots
from knarr.criserver.sandboxes import teardown
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
