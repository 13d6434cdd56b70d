"""The node process dies at any point of a pod's life: the next one finds an owner for every leftover, and sweeps it.

The dying one is a process of its own with a failpoint armed; `python -m tests.e2e.test_crashes DIRECTORY` is its main.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from knarr.base import linux
from knarr.cri.messages import config as c
from knarr.cri.messages import container as m
from knarr.cri.messages import sandbox as s
from knarr.cri.messages.enums import NamespaceMode
from knarr.criserver import user_namespaces
from tests.contracts import real_node

pytestmark = pytest.mark.skipif(bool(real_node.missing()), reason=f"needs {real_node.missing()}")

POINTS = (
    "criserver.sandbox.before_namespaces",
    "criserver.sandbox.before_network",
    "network.after_lease",
    "criserver.container.after_root",
    "runtime.before_create",
    "runtime.after_create",
    "criserver.container.before_start",
    "runtime.before_delete",
    "criserver.container.before_forget",
    "criserver.sandbox.before_forget",
)


MAPPED = ("criserver.container.after_mapping", "criserver.sandbox.before_network", *POINTS[3:])
IDS = (c.IDMapping(host_id=65536 * 9, container_id=0, length=65536),)
USERS = c.UserNamespace(mode=NamespaceMode.POD, uids=IDS, gids=IDS)
CASES = [*((point, False) for point in POINTS), *((point, True) for point in MAPPED)]


def shared_pod(directory: Path, *, is_mapped: bool = False) -> tuple[c.PodSandboxConfig, c.ContainerConfig]:
    """A pod with a shared process namespace, and its container; `is_mapped`: with users of its own."""
    shared = c.NamespaceOption(pid=NamespaceMode.POD, userns_options=USERS if is_mapped else None)
    config = c.PodSandboxConfig(
        metadata=c.PodSandboxMetadata(name="web", namespace="default", uid="u"),
        log_directory=str(directory / "logs"),
        linux=c.LinuxPodSandboxConfig(security_context=c.LinuxSandboxSecurityContext(namespace_options=shared)),
    )
    wanted = c.ContainerConfig(
        metadata=c.ContainerMetadata(name="main"),
        image=c.ImageSpec(image="busybox"),
        command=("/bin/sleep", "60"),
        log_path="main.log",
        linux=c.LinuxContainerConfig(security_context=c.LinuxContainerSecurityContext(namespace_options=shared)),
    )
    return config, wanted


async def live_and_die(directory: Path, *, is_mapped: bool) -> None:
    """One pod, made and removed."""
    config, wanted = shared_pod(directory, is_mapped=is_mapped)
    async with real_node.opened(directory) as server:
        pod = (await server.run_pod_sandbox(s.RunPodSandboxRequest(config=config))).pod_sandbox_id
        request = m.CreateContainerRequest(pod_sandbox_id=pod, config=wanted, sandbox_config=config)
        identity = (await server.create_container(request)).container_id
        await server.start_container(m.StartContainerRequest(container_id=identity))
        await server.stop_container(m.StopContainerRequest(container_id=identity))
        await server.remove_container(m.RemoveContainerRequest(container_id=identity))
        await server.remove_pod_sandbox(s.RemovePodSandboxRequest(pod_sandbox_id=pod))


@pytest.fixture(name="directory")
def _directory(tmp_path: Path, is_mapped: bool) -> Iterator[Path]:
    with real_node.passable(tmp_path) if is_mapped else contextlib.nullcontext():
        yield tmp_path


@pytest.mark.parametrize(("point", "is_mapped"), CASES)
async def test_nothing_is_left_of_a_pod_whose_server_was_killed(directory: Path, point: str, is_mapped: bool) -> None:
    if is_mapped and not user_namespaces.are_possible(directory):
        pytest.skip("the kernel maps no ids of files")
    real_node.busybox_root(directory / "root")
    async with real_node.opened(directory):
        before = real_node.inventory(directory)
    environment = {**os.environ, "KNARR_FAILPOINTS": f"{point}=exit", "KNARR_TEST_NUMBER": str(real_node.NUMBER)}
    command = [sys.executable, "-m", "tests.e2e.test_crashes", str(directory), *(["mapped"] if is_mapped else [])]
    died = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=50, check=False
    )
    assert died.returncode == -9, died.stderr
    async with real_node.opened(directory) as server:
        for item in (await server.list_pod_sandbox(s.ListPodSandboxRequest())).items:
            await server.remove_pod_sandbox(s.RemovePodSandboxRequest(pod_sandbox_id=item.id))
        assert real_node.inventory(directory) == before
    await real_node.torn_down(directory)


@pytest.mark.parametrize("content", ["", "\n", '{"id": "cut sho', '{"id": 5}\n'])
async def test_nothing_is_left_of_a_pod_whose_records_cannot_be_read(tmp_path: Path, content: str) -> None:
    real_node.busybox_root(tmp_path / "root")
    async with real_node.opened(tmp_path):
        before = real_node.inventory(tmp_path)
    config, wanted = shared_pod(tmp_path)
    async with real_node.opened(tmp_path) as server:
        pod = (await server.run_pod_sandbox(s.RunPodSandboxRequest(config=config))).pod_sandbox_id
        request = m.CreateContainerRequest(pod_sandbox_id=pod, config=wanted, sandbox_config=config)
        identity = (await server.create_container(request)).container_id
        await server.start_container(m.StartContainerRequest(container_id=identity))
        image_volume = server.node.places.container(identity) / "volumes" / "0"
    image_volume.mkdir(parents=True)
    linux.mount("knarr-test", image_volume, "tmpfs", 0)
    for record in (tmp_path / "state").rglob("*.json"):
        record.write_text(content)
    async with real_node.opened(tmp_path) as server:
        assert (await server.list_pod_sandbox(s.ListPodSandboxRequest())).items == ()
        left = [line for line in real_node.inventory(tmp_path) if not line.endswith(".bad")]
        assert left == before
    await real_node.torn_down(tmp_path)


if __name__ == "__main__":
    asyncio.run(live_and_die(Path(sys.argv[1]), is_mapped="mapped" in sys.argv))
