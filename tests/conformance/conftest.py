"""A control plane over TLS in this process, and the stock kubectls of this machine."""

import asyncio
import base64
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from knarr.assembly import control, pki
from knarr.assembly.settings import Settings
from knarr.base.clock import SystemClock
from knarr.controllers.registry import Controllers
from knarr.wire import tls
from knarr.wire.http_server import Server


def kubectls() -> list[str]:
    """The kubectl on the path, or the oldest and newest beside it with a version in their name, and others by name.

    KNARR_KUBECTLS names more of them, as PATH names directories.
    """
    more = [program for program in os.environ.get("KNARR_KUBECTLS", "").split(os.pathsep) if program]
    found = shutil.which("kubectl")
    if found is None:
        return more
    beside = sorted(Path(os.path.realpath(found)).parent.glob("kubectl.1.*"))
    chosen = [str(beside[0]), str(beside[-1])] if beside else []
    return [*(chosen or [found]), *more]


@dataclass(frozen=True)
class Kubectl:
    """One kubectl against the cluster."""

    program: str
    kubeconfig: Path

    async def __call__(self, *arguments: str, stdin: str = "", fails: bool = False) -> str:
        """What it prints; the exit code must be as said."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.kubeconfig.parent),
            "KUBECONFIG": str(self.kubeconfig),
        }
        child = await asyncio.create_subprocess_exec(
            self.program,
            *arguments,
            env=environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(child.communicate(stdin.encode()), 30)
        assert (child.returncode != 0) is fails, output.decode()
        return output.decode()


@pytest.fixture(
    params=kubectls() or [pytest.param("", marks=pytest.mark.skip("no kubectl here"))], ids=os.path.basename
)
async def kubectl(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kubectl]:
    settings = Settings(
        name="conformance", data_dir=tmp_path, run_dir=tmp_path / "run", api_only=True, node_name="none"
    )
    clock = SystemClock()
    directory = pki.ensure(settings, clock.now())
    async with control.opened(settings, directory, clock) as running, asyncio.TaskGroup() as group:
        server = Server(running.pipeline.handle)
        context = tls.server_context(
            directory / "apiserver.crt", directory / "apiserver.key", client_authority=directory / "ca.crt"
        )
        port = await server.listen_tcp("127.0.0.1", 0, tls=context)
        client = running.client(control.CONTROLLER_MANAGER)
        controllers = Controllers(client, clock, root_ca="none", authority=lambda: pki.authority(directory))
        ready = asyncio.Event()
        task = group.create_task(controllers.run(ready.set))
        await ready.wait()
        yield Kubectl(request.param, kubeconfig(tmp_path, directory, port))
        task.cancel()
        await server.close(0.1)


def kubeconfig(folder: Path, directory: Path, port: int) -> Path:
    def pem(name: str) -> str:
        return base64.b64encode((directory / name).read_bytes()).decode()

    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": pem("ca.crt")}
    user = {"client-certificate-data": pem("admin.crt"), "client-key-data": pem("admin.key")}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "c", "user": user}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    }
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path
