"""A stage for stock clients: the real API server, kubelet server and streaming server, over processes of the host.

What a "container" runs is a plain child process here, so that no root is needed; every protocol between the client and
the process's descriptors is the real one.
"""

import asyncio
import fcntl
import os
import pty
import signal
import socket
import struct
import subprocess
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, cast

from knarr.apiserver.context import User
from knarr.apiserver.pipeline import Pipeline
from knarr.apiserver.server import ApiServer
from knarr.base.ids import ContainerId
from knarr.cri.messages.container import (
    AttachRequest,
    AttachResponse,
    Container,
    ContainerStatusRequest,
    ContainerStatusResponse,
    ExecRequest,
    ExecResponse,
    ListContainersRequest,
    ListContainersResponse,
)
from knarr.cri.messages.enums import ContainerState, PodSandboxState
from knarr.cri.messages.sandbox import (
    ContainerStatus,
    ListPodSandboxRequest,
    ListPodSandboxResponse,
    PodSandbox,
    PortForwardRequest,
    PortForwardResponse,
)
from knarr.cri.protocol import RuntimeService
from knarr.criserver.streaming import StreamingServer
from knarr.kubelet.ends import Ends
from knarr.kubelet.server import KubeletServer
from knarr.runtime.runtime import ExecSpec, Monitor, Runtime
from knarr.store.memory import MemoryStore
from knarr.wire import http, tls
from knarr.wire.http_server import Server

ADMIN = User("admin", ("system:masters", "system:authenticated"))
NODE, POD = "node1", "web"


class HostProcess:
    """runtime.ExecProcess for a child of this process."""

    def __init__(self, spec: ExecSpec, stdin: bool, stdout: bool, stderr: bool) -> None:
        self.stdin_fd: int | None = None
        self.stdout_fd: int | None = None
        self.stderr_fd: int | None = None
        self._terminal: int | None = None
        if spec.has_terminal:
            self._start_on_terminal(spec)
            return
        theirs: list[int] = []
        ours: list[int | None] = []
        for index, wanted in enumerate((stdin, stdout, stderr)):
            read_end, write_end = os.pipe() if wanted else (os.open(os.devnull, os.O_RDWR), -1)
            ends = (read_end, write_end) if index == 0 or not wanted else (write_end, read_end)
            theirs.append(ends[0])
            ours.append(ends[1] if wanted else None)
        self.stdin_fd, self.stdout_fd, self.stderr_fd = ours
        self._child = subprocess.Popen(list(spec.arguments), stdin=theirs[0], stdout=theirs[1], stderr=theirs[2])
        for descriptor in theirs:
            os.close(descriptor)

    def _start_on_terminal(self, spec: ExecSpec) -> None:
        controlling, slave = pty.openpty()
        columns, rows = spec.console_size or (0, 0)
        fcntl.ioctl(controlling, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._child = subprocess.Popen(["setsid", "-c", "-w", *spec.arguments], stdin=slave, stdout=slave, stderr=slave)
        os.close(slave)
        self.stdin_fd, self.stdout_fd, self._terminal = controlling, os.dup(controlling), controlling

    async def wait(self) -> int:
        descriptor = os.pidfd_open(self._child.pid)
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[None] = loop.create_future()
        loop.add_reader(descriptor, lambda: ended.done() or ended.set_result(None))
        try:
            await ended
        except asyncio.CancelledError:  # the stage ends, which waits less long for a command than a cluster
            self.kill()
            raise
        finally:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            code = self._child.wait()
        return code if code >= 0 else 128 - code

    def resize(self, columns: int, rows: int) -> None:
        if self._terminal is not None:
            fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def kill(self) -> None:
        self._child.send_signal(signal.SIGKILL)


class EchoAttachment:
    """A container that says every line of its input again in capitals, on stdout and stderr."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[tuple[Literal[1, 2], bytes] | None] = asyncio.Queue()
        self._pieces.put_nowait((1, b"hello\n"))

    async def read(self) -> tuple[Literal[1, 2], bytes] | None:
        return await self._pieces.get()

    async def write(self, content: bytes) -> None:
        self._pieces.put_nowait((1, content.upper()))
        self._pieces.put_nowait((2, b"err\n"))

    def close_stdin(self) -> None:
        self._pieces.put_nowait(None)

    def resize(self, columns: int, rows: int) -> None:
        self._pieces.put_nowait((1, f"{columns}x{rows}\n".encode()))

    def close(self) -> None:
        pass


class HostRuntime:
    """Runtime.exec and Monitor.attach; the rest of both Protocols is not used on this stage."""

    async def exec(
        self, container: ContainerId, spec: ExecSpec, *, stdin: bool, stdout: bool, stderr: bool
    ) -> HostProcess:
        return HostProcess(spec, stdin, stdout, stderr)

    async def attach(self, container: ContainerId) -> EchoAttachment:
        return EchoAttachment()


class HostService:
    """The calls of RuntimeService that the kubelet's streams make, for one pod with containers `c` and `d`."""

    def __init__(self, streaming: StreamingServer, log: Path) -> None:
        self._streaming = streaming
        self._log = log
        self.state = {"c": ContainerState.CONTAINER_RUNNING, "d": ContainerState.CONTAINER_RUNNING}
        self.ends = Ends()
        self.asked = 0

    def stop(self, name: str) -> None:
        """The container ends."""
        self.state[name] = ContainerState.CONTAINER_EXITED
        self.ends.heard(name)

    async def list_containers(self, request: ListContainersRequest) -> ListContainersResponse:
        assert request.filter is not None
        labels = request.filter.label_selector
        name = labels.get("io.kubernetes.container.name", "")
        if labels.get("io.kubernetes.pod.name") != POD or name not in self.state:
            return ListContainersResponse()
        return ListContainersResponse(containers=(Container(id=name, state=self.state[name], created_at=1),))

    async def list_pod_sandbox(self, request: ListPodSandboxRequest) -> ListPodSandboxResponse:
        return ListPodSandboxResponse(items=(PodSandbox(id="s", state=PodSandboxState.SANDBOX_READY),))

    async def container_status(self, request: ContainerStatusRequest) -> ContainerStatusResponse:
        self.asked += 1
        state = self.state[request.container_id]
        return ContainerStatusResponse(
            status=ContainerStatus(id=request.container_id, state=state, log_path=str(self._log))
        )

    async def exec(self, request: ExecRequest) -> ExecResponse:
        return ExecResponse(url=self._streaming.exec_url(request))

    async def attach(self, request: AttachRequest) -> AttachResponse:
        return AttachResponse(url=self._streaming.attach_url(request, closes_stdin=True))

    async def port_forward(self, request: PortForwardRequest) -> PortForwardResponse:
        return PortForwardResponse(url=self._streaming.port_forward_url(None))


@dataclass
class Stage:
    """`url` of the API (plain HTTP, everybody is an administrator), the log of container `c`, and the runtime."""

    url: str
    log: Path
    service: HostService
    server: ApiServer
    pki: Path
    kubelet_port: int


@asynccontextmanager
async def stage(directory: Path, *, is_in_process: bool = False) -> AsyncIterator[Stage]:
    """`is_in_process`: the kubelet asks its runtime's streaming server directly, as in a cluster with our runtime."""
    certificates(directory)
    runtime = HostRuntime()
    streaming = StreamingServer(cast(Runtime, runtime), cast(Monitor, runtime))
    await streaming.start()
    log = directory / "logs" / "ns_web_uid" / "c" / "0.log"
    log.parent.mkdir(parents=True)
    log.touch()
    service = HostService(streaming, log)
    own = streaming.answer if is_in_process else None
    kubelet = KubeletServer(cast(RuntimeService, service), directory / "logs", service.ends, streaming=own)
    kubelet_server = Server(kubelet.answer)
    context = tls.server_context(
        directory / "kubelet.crt", directory / "kubelet.key", client_authority=directory / "ca.crt"
    )
    kubelet_port = await kubelet_server.listen_tcp("127.0.0.1", 0, tls=context)
    store = MemoryStore()
    api = ApiServer(store, pki=directory)
    pipeline = Pipeline(api)

    async def as_admin(request: http.Request) -> http.Response:
        return await pipeline.handle_as(request, ADMIN)

    server = Server(as_admin)
    port = await server.listen_tcp("127.0.0.1", 0)
    await put(pipeline, kubelet_port)
    try:
        yield Stage(f"http://127.0.0.1:{port}", log, service, api, directory, kubelet_port)
    finally:
        await server.close(0.2)
        await api.kubelets.client.close()
        await kubelet_server.close(0.2)
        await kubelet.client.close()
        await streaming.close()


async def put(pipeline: Pipeline, kubelet_port: int) -> None:
    """A namespace, a node and a running pod with two containers."""
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": NODE},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet_port}},
        },
    }
    names = ("c", "d")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": POD, "namespace": "default"},
        "spec": {"nodeName": NODE, "containers": [{"name": name, "image": "i", "stdin": True} for name in names]},
    }
    state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    statuses = [
        {"name": name, "image": "i", "imageID": "", "ready": True, "restartCount": 0, "state": state} for name in names
    ]
    status = {"phase": "Running", "podIP": "127.0.0.1", "containerStatuses": statuses}
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}
    await call(pipeline, "POST", "/api/v1/namespaces", namespace)
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}}
    await call(pipeline, "POST", "/api/v1/namespaces/default/serviceaccounts", account)
    await call(pipeline, "POST", "/api/v1/nodes", node)
    await call(pipeline, "PATCH", f"/api/v1/nodes/{NODE}/status", {"status": node["status"]})
    await call(pipeline, "POST", "/api/v1/namespaces/default/pods", pod)
    await call(pipeline, "PATCH", f"/api/v1/namespaces/default/pods/{POD}/status", {"status": status})


async def call(pipeline: Pipeline, method: str, path: str, body: Any) -> None:
    import msgspec

    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    request = http.Request(method, path, "", (("content-type", kind),), msgspec.json.encode(body))
    response = await pipeline.handle_as(request, ADMIN)
    assert response.status in (200, 201, 409), response.body


def certificates(directory: Path) -> None:
    now = datetime.now(UTC)
    authority = tls.new_authority("stage-ca", now)
    tls.write(directory / "ca.crt", authority.certificate)
    pairs = {
        "kubelet": tls.issue_server(authority, NODE, [NODE, "127.0.0.1"], now, days=1),
        "apiserver-kubelet-client": tls.issue_client(authority, "system:kube-apiserver", ["system:masters"], now),
        "nobody": tls.issue_client(authority, "nobody", ["other"], now),
    }
    for name, pair in pairs.items():
        tls.write(directory / f"{name}.crt", pair.certificate)
        tls.write(directory / f"{name}.key", pair.key)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
