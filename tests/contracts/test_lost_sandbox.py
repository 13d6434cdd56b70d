"""A sandbox whose process died: nothing is started in it, and what was made for it has not failed."""

import asyncio
import json
import os
import select
import signal
from pathlib import Path

import pytest

from knarr.base.errors import Invalid
from knarr.cri.messages import config as c
from knarr.cri.messages import container as m
from knarr.cri.messages import sandbox as s
from knarr.cri.messages.enums import ContainerState, NamespaceMode, PodSandboxState
from knarr.criserver.service import RuntimeServer
from tests.contracts import real_node

pytestmark = pytest.mark.skipif(bool(real_node.missing()), reason=f"needs {real_node.missing()}")
SECONDS = 20.0
SHARED = c.LinuxSandboxSecurityContext(namespace_options=c.NamespaceOption(pid=NamespaceMode.POD))
POD = c.PodSandboxConfig(
    metadata=c.PodSandboxMetadata(name="web", namespace="default", uid="u"),
    linux=c.LinuxPodSandboxConfig(security_context=SHARED),
)


async def test_a_start_in_a_dead_process_namespace_is_refused_and_counts_as_none(tmp_path: Path) -> None:
    real_node.busybox_root(tmp_path / "root")
    async with real_node.opened(tmp_path) as service:
        sandbox = (await service.run_pod_sandbox(s.RunPodSandboxRequest(config=POD))).pod_sandbox_id
        identity = await created(service, sandbox)
        end(await pause_pid(service, sandbox))  # the loop has not run since: only the kernel knows
        with pytest.raises(Invalid, match="not ready"):
            await service.start_container(m.StartContainerRequest(container_id=identity))
        status = (await service.container_status(m.ContainerStatusRequest(container_id=identity))).status
        assert status is not None
        assert (status.state, status.reason) == (ContainerState.CONTAINER_CREATED, "")
        with pytest.raises(Invalid, match="not ready"):
            await created(service, sandbox)
        async with asyncio.timeout(SECONDS):
            while (await state(service, sandbox)) is PodSandboxState.SANDBOX_READY:
                await asyncio.sleep(0.01)  # the note of it has no event of its own: an outside view looks again
        await service.remove_pod_sandbox(s.RemovePodSandboxRequest(pod_sandbox_id=sandbox))
    await real_node.torn_down(tmp_path)


async def created(service: RuntimeServer, sandbox: str) -> str:
    config = c.ContainerConfig(
        metadata=c.ContainerMetadata(name="main"), image=c.ImageSpec(image="busybox"), command=("/bin/sleep", "60")
    )
    request = m.CreateContainerRequest(pod_sandbox_id=sandbox, config=config, sandbox_config=POD)
    return (await service.create_container(request)).container_id


async def pause_pid(service: RuntimeServer, sandbox: str) -> int:
    request = s.PodSandboxStatusRequest(pod_sandbox_id=sandbox, verbose=True)
    return int(json.loads((await service.pod_sandbox_status(request)).info["info"])["pid"])


async def state(service: RuntimeServer, sandbox: str) -> PodSandboxState:
    status = (await service.pod_sandbox_status(s.PodSandboxStatusRequest(pod_sandbox_id=sandbox))).status
    assert status is not None
    return status.state


def end(pid: int) -> None:
    """Kill and wait for the end without letting anybody else of this process run."""
    process = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    poll = select.poll()
    poll.register(process, select.POLLIN)
    assert poll.poll(SECONDS * 1000)
    os.close(process)
