"""Names of sandboxes and containers: a creation that failed, and whose clean-up failed too, does not keep its own."""

import os
from pathlib import Path

import pytest

from knarr.base.clock import SystemClock
from knarr.base.errors import AlreadyExists, NotFound
from knarr.base.ids import ContainerId, SandboxId
from knarr.cri.messages import config as c
from knarr.cri.messages.container import CreateContainerRequest
from knarr.cri.messages.enums import NamespaceMode
from knarr.cri.messages.sandbox import RunPodSandboxRequest
from knarr.criserver.containers import create
from knarr.criserver.node import Node
from knarr.criserver.records import ContainerRecord, SandboxRecord
from knarr.criserver.rootfs import DirectoryRoots
from knarr.criserver.sandboxes import run
from knarr.network.memory import MemoryNetwork
from tests.unit.criserver.test_stopping import Crossed, node_of

POD = SandboxId("pod0")
PLAN = CreateContainerRequest(
    pod_sandbox_id=POD,
    config=c.ContainerConfig(metadata=c.ContainerMetadata(name="main"), image=c.ImageSpec(image="absent")),
)
HOST = c.NamespaceOption(network=NamespaceMode.NODE, pid=NamespaceMode.NODE, ipc=NamespaceMode.NODE)


class Busy(DirectoryRoots):
    """Root file systems that nobody can remove the first few times."""

    def __init__(self, refusals: int) -> None:
        super().__init__({})
        self.refusals = refusals

    async def remove(self, container: ContainerId, target: Path) -> None:
        self.refusals -= 1
        if self.refusals >= 0:
            raise OSError(16, "Device or resource busy")


class Stuck(MemoryNetwork):
    """A network that cannot let go the first time."""

    is_stuck = True

    async def detach(self, sandbox: SandboxId) -> None:
        self.is_stuck, was_stuck = False, self.is_stuck
        if was_stuck:
            raise OSError(16, "Device or resource busy")


def of_container(directory: Path, refusals: int) -> Node:
    node = node_of(directory, Crossed(SystemClock()))
    node.roots = Busy(refusals)
    config = c.PodSandboxConfig()
    node.sandboxes.put(SandboxRecord(id=POD, config=config, created_at=1, cgroup_parent="/p", is_ready=True))
    return node


async def test_a_container_that_could_not_be_made_nor_cleaned_up_does_not_keep_its_name(tmp_path: Path) -> None:
    node = of_container(tmp_path, refusals=1)
    for left in (1, 0):
        # The error is the creation's own, both times.
        with pytest.raises(NotFound, match="image absent is not here"):
            await create.create(node, PLAN)
        assert len(node.containers.all()) == left
    assert not node.locks


async def test_what_is_left_of_a_container_that_still_cannot_go_is_told(tmp_path: Path) -> None:
    node = of_container(tmp_path, refusals=2)
    with pytest.raises(NotFound):
        await create.create(node, PLAN)
    with pytest.raises(OSError, match="busy"):
        await create.create(node, PLAN)
    assert len(node.containers.all()) == 1


async def test_the_name_of_a_container_that_is_being_made_is_taken(tmp_path: Path) -> None:
    node = of_container(tmp_path, refusals=0)
    assert PLAN.config is not None
    record = ContainerRecord(id=ContainerId("first"), sandbox=POD, config=PLAN.config, created_at=1, cgroup_path="/p/c")
    node.containers.put(record)
    async with node.locks[record.id]:
        with pytest.raises(AlreadyExists, match="is reserved for 'first'"):
            await create.create(node, PLAN)
    assert node.containers.all() == [record]


@pytest.mark.skipif(os.geteuid() != 0, reason="letting namespaces go needs root")
async def test_a_sandbox_that_could_not_be_made_nor_cleaned_up_does_not_keep_its_name(tmp_path: Path) -> None:
    node = node_of(tmp_path, Crossed(SystemClock()))
    node.network = Stuck()
    (tmp_path / "file").touch()
    plan = c.PodSandboxConfig(
        metadata=c.PodSandboxMetadata(name="web", namespace="default", uid="u"),
        log_directory=str(tmp_path / "file" / "logs"),
        linux=c.LinuxPodSandboxConfig(security_context=c.LinuxSandboxSecurityContext(namespace_options=HOST)),
    )
    for left in (1, 0):
        with pytest.raises(NotADirectoryError):
            await run.run(node, RunPodSandboxRequest(config=plan))
        assert len(node.sandboxes.all()) == left
    assert not node.locks
