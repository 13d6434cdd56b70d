"""`kubectl rollout` in all its verbs, by every kubectl found, over the API server with simulated pods."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from knarr.assembly import control, pki
from knarr.assembly.settings import Settings
from knarr.base import tasks
from knarr.base.clock import SystemClock
from knarr.controllers.registry import Controllers
from knarr.kinds.core_config import NODE
from knarr.wire import tls
from knarr.wire.http_server import Server
from tests.conformance.conftest import Kubectl, kubeconfig
from tests.simulation.cluster import MemoryKubelet

MANIFEST = """
apiVersion: apps/v1
kind: {kind}
metadata: {{name: web, annotations: {{kubernetes.io/change-cause: "{cause}"}}}}
spec:
  {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{{name: c, image: "{image}"}}]
"""
REPLICAS = {"Deployment": "replicas: 3", "StatefulSet": "{serviceName: web, replicas: 2}", "DaemonSet": ""}


def every_kubectl() -> list[str]:
    found = shutil.which("kubectl")
    beside = sorted(Path(os.path.realpath(found)).parent.glob("kubectl.1.*")) if found else []
    # Older ones than a distribution ships stand where KNARR_KUBECTLS says.
    named = [path for path in os.environ.get("KNARR_KUBECTLS", "").split(os.pathsep) if path]
    return [*map(str, beside), *named] or ([found] if found else [])


@pytest.fixture(
    params=every_kubectl() or [pytest.param("", marks=pytest.mark.skip("no kubectl here"))],
    ids=lambda path: f"{os.path.basename(path)}",
)
async def rolling(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kubectl]:
    """A kubectl against a control plane with two nodes whose kubelet only counts time."""
    settings = Settings(name="rollout", data_dir=tmp_path, run_dir=tmp_path / "run", api_only=True, node_name="none")
    clock = SystemClock()
    directory = pki.ensure(settings, clock.now())
    async with control.opened(settings, directory, clock) as running, asyncio.TaskGroup() as group:
        server = Server(running.pipeline.handle)
        context = tls.server_context(
            directory / "apiserver.crt", directory / "apiserver.key", client_authority=directory / "ca.crt"
        )
        port = await server.listen_tcp("127.0.0.1", 0, tls=context)
        client = running.client(control.CONTROLLER_MANAGER)
        kubelet = MemoryKubelet(client, clock)
        kubelet.start_seconds = kubelet.stop_seconds = 0.05
        heartbeat = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        ready = [{"type": "Ready", "status": "True", "lastHeartbeatTime": heartbeat}]
        for node in kubelet.nodes:
            await client.create(NODE, "", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
            await client.patch(NODE, "", node, {"status": {"conditions": ready}}, subresource="status")
        started = [
            await tasks.start(group, "controllers", Controllers(client, clock, root_ca="none").run),
            await tasks.start(group, "kubelet", kubelet.run),
        ]
        yield Kubectl(request.param, kubeconfig(tmp_path, directory, port))
        for task in started:
            await tasks.cancel(task)
        await server.close(0.1)


async def applied(kubectl: Kubectl, kind: str, image: str, cause: str) -> None:
    replicas = REPLICAS[kind].strip("{}").replace(", ", "\n  ")
    body = MANIFEST.format(kind=kind, image=image, cause=cause, replicas=replicas)
    await kubectl("apply", "-f", "-", stdin=body)


async def image(kubectl: Kubectl, kind: str) -> str:
    return await kubectl("get", f"{kind}/web", "-o", "jsonpath={.spec.template.spec.containers[0].image}")


def revisions(history: str) -> list[tuple[str, str]]:
    """(number, change-cause) of each line."""
    lines = [line.split(None, 1) for line in history.splitlines() if line[:1].isdigit()]
    return [(line[0], line[1].strip() if len(line) > 1 else "") for line in lines]


async def test_a_deployment_rolls_on_back_and_stands_still(rolling: Kubectl) -> None:
    async def status() -> str:
        return await rolling("rollout", "status", "deployment/web", "--timeout=20s")

    for version in ("v1", "v2", "v3"):
        await applied(rolling, "Deployment", version, f"to {version}")
        assert "successfully rolled out" in await status()
    assert revisions(await rolling("rollout", "history", "deployment/web")) == [
        ("1", "to v1"),
        ("2", "to v2"),
        ("3", "to v3"),
    ]
    assert "v2" in await rolling("rollout", "history", "deployment/web", "--revision=2")
    await rolling("rollout", "undo", "deployment/web", "--to-revision=1")
    await status()
    assert await image(rolling, "deployment") == "v1"
    assert [number for number, _ in revisions(await rolling("rollout", "history", "deployment/web"))] == ["2", "3", "4"]
    await rolling("rollout", "undo", "deployment/web")
    await status()
    assert await image(rolling, "deployment") == "v3"
    assert "unable to find" in await rolling("rollout", "undo", "deployment/web", "--to-revision=99", fails=True)

    await rolling("rollout", "pause", "deployment/web")
    await rolling("set", "image", "deployment/web", "c=v4")
    assert "paused" in await rolling("rollout", "undo", "deployment/web", fails=True)
    images = await rolling("get", "pods", "-o", "jsonpath={.items[*].spec.containers[0].image}")
    assert set(images.split()) == {"v3"}
    await rolling("rollout", "resume", "deployment/web")
    await status()
    before = await rolling("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}")
    await rolling("rollout", "restart", "deployment/web")
    await status()
    after = await rolling("get", "pods", "-o", "jsonpath={.items[*].metadata.uid}")
    assert not {*before.split()} & {*after.split()}


@pytest.mark.parametrize("rolling", [*every_kubectl()[:1], *every_kubectl()[-1:]], indirect=True, ids=os.path.basename)
async def test_stateful_and_daemon_sets_roll_back(rolling: Kubectl) -> None:
    for kind in ("StatefulSet", "DaemonSet"):
        name = f"{kind.lower()}/web"
        for version in ("v1", "v2"):
            await applied(rolling, kind, version, f"to {version}")
            await rolling("rollout", "status", name, "--timeout=20s")
        assert [number for number, _ in revisions(await rolling("rollout", "history", name))] == ["1", "2"]
        await rolling("rollout", "undo", name)
        await rolling("rollout", "status", name, "--timeout=20s")
        assert await image(rolling, kind.lower()) == "v1"
        assert [number for number, _ in revisions(await rolling("rollout", "history", name))] == ["2", "3"]
        await rolling("rollout", "restart", name)
        await rolling("rollout", "status", name, "--timeout=20s")
        await rolling("delete", name)
