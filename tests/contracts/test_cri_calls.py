"""What crictl and a foreign kubelet ask of our CRI server besides the life of a pod: in process and over the socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from knarr.base.errors import DeadlineExceeded, Invalid, NotFound, Unimplemented
from knarr.cri.messages import config as c
from knarr.cri.messages import container as m
from knarr.cri.messages import runtime as r
from knarr.cri.messages import sandbox as s
from knarr.cri.messages import stats as st
from knarr.cri.messages.enums import NamespaceMode
from knarr.cri.protocol import RuntimeService
from knarr.wire import http
from knarr.wire.http_client import Client, Target
from tests.contracts import real_node
from tests.contracts.test_cri import over_grpc
from tests.unit.wire.pair import SpdyAnswers, SpdyClient

pytestmark = pytest.mark.skipif(bool(real_node.missing()), reason=f"needs {real_node.missing()}")
SECONDS = 20.0


@dataclass(frozen=True)
class Pod:
    """One sandbox; `logs` is its folder."""

    service: RuntimeService
    identity: str
    logs: Path

    async def start(self, script: str, name: str = "main", *, stdin: bool = False) -> str:
        config = c.ContainerConfig(
            metadata=c.ContainerMetadata(name=name),
            image=c.ImageSpec(image="busybox"),
            command=("/bin/sh", "-c", script),
            log_path=f"{name}/0.log",
            stdin=stdin,
        )
        request = m.CreateContainerRequest(pod_sandbox_id=self.identity, config=config, sandbox_config=self.config())
        identity = (await self.service.create_container(request)).container_id
        await self.service.start_container(m.StartContainerRequest(container_id=identity))
        return identity

    def config(self) -> c.PodSandboxConfig:
        metadata = c.PodSandboxMetadata(name="web", namespace="default", uid="u")
        return c.PodSandboxConfig(metadata=metadata, hostname="web", log_directory=str(self.logs))

    async def line(self, name: str, number: int) -> str:
        """A line of a container's log, once it is there."""
        path = self.logs / name / "0.log"
        async with asyncio.timeout(SECONDS):
            while not path.exists() or len(lines := path.read_text().splitlines()) <= number:
                await asyncio.sleep(0.01)  # a file of conmon's, which tells nobody
        return lines[number]


@pytest.fixture(params=["in_process", "grpc"])
async def pod(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Pod]:
    real_node.busybox_root(tmp_path / "root")
    async with contextlib.AsyncExitStack() as stack:
        service: RuntimeService = await stack.enter_async_context(real_node.opened(tmp_path))
        stack.push_async_callback(real_node.torn_down, tmp_path)
        if request.param == "grpc":
            service = await stack.enter_async_context(over_grpc(service, tmp_path / "cri.sock"))
        made = Pod(service, "", tmp_path / "logs")
        answer = await service.run_pod_sandbox(s.RunPodSandboxRequest(config=made.config()))
        yield Pod(service, answer.pod_sandbox_id, made.logs)
        await service.remove_pod_sandbox(s.RemovePodSandboxRequest(pod_sandbox_id=answer.pod_sandbox_id))


async def test_exec_sync_keeps_output_errors_and_code_apart_and_ends_in_time(pod: Pod) -> None:
    identity = await pod.start("sleep 60")
    words = ("/bin/sh", "-c", "echo out; echo err >&2; exit 7")
    answer = await pod.service.exec_sync(m.ExecSyncRequest(container_id=identity, cmd=words))
    assert (answer.stdout, answer.stderr, answer.exit_code) == (b"out\n", b"err\n", 7)
    with pytest.raises(DeadlineExceeded):
        await pod.service.exec_sync(m.ExecSyncRequest(container_id=identity, cmd=("/bin/sleep", "60"), timeout=1))
    with pytest.raises(NotFound):
        await pod.service.exec_sync(m.ExecSyncRequest(container_id="nothing", cmd=words))


async def test_every_container_of_a_pod_has_its_own_log_in_cri_format(pod: Pod) -> None:
    await pod.start("echo one; echo bad >&2; sleep 60", "a")
    await pod.start("echo two; sleep 60", "b")
    assert (await pod.line("a", 0)).split(" ", 1)[1] in ("stdout F one", "stderr F bad")
    assert {(await pod.line("a", n)).split(" ", 1)[1] for n in (0, 1)} == {"stdout F one", "stderr F bad"}
    assert (await pod.line("b", 0)).split(" ", 1)[1] == "stdout F two"


async def test_a_reopened_log_goes_on_in_a_new_file(pod: Pod) -> None:
    identity = await pod.start("echo before; read x; echo after; sleep 60", stdin=True)
    await pod.line("main", 0)
    log = pod.logs / "main" / "0.log"
    log.rename(log.with_name("0.log.1"))
    await pod.service.reopen_container_log(m.ReopenContainerLogRequest(container_id=identity))
    answer = await pod.service.attach(m.AttachRequest(container_id=identity, stdin=True, stdout=True))
    async with websocket(answer.url) as socket:
        await socket.send(b"\x00go\n")
        assert (await pod.line("main", 0)).endswith("stdout F after")


async def test_an_exec_url_serves_websocket_with_input_output_and_exit_code_once(pod: Pod) -> None:
    identity = await pod.start("sleep 60")
    request = m.ExecRequest(container_id=identity, cmd=("/bin/sh", "-c", "cat; exit 3"), stdin=True, stdout=True)
    url = (await pod.service.exec(request)).url
    content = {1: b"", 3: b""}
    async with websocket(url) as socket:
        await socket.send(b"\x00in")
        await socket.send(b"\xff\x00")
        async for message in socket:
            assert isinstance(message, bytes)
            content[message[0]] += message[1:]
    assert content[1] == b"in"
    assert b'"ExitCode","message":"3"' in content[3]
    client = Client()
    assert (await client.request(target(url), http.Request("GET", path(url)))).status == 404
    await client.close()


async def test_an_exec_url_serves_spdy_as_crictl_speaks_it(pod: Pod) -> None:
    identity = await pod.start("sleep 60")
    request = m.ExecRequest(container_id=identity, cmd=("/bin/echo", "hello"), stdout=True)
    url = (await pod.service.exec(request)).url
    headers = (("connection", "Upgrade"), ("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", "v4.channel.k8s.io"))
    client = Client()
    response, stream = await client.upgrade(target(url), http.Request("POST", path(url), "", headers))
    assert (response.status, stream is not None) == (101, True)
    assert stream is not None
    frames, answers = SpdyClient(), SpdyAnswers()
    for number, kind in ((1, "error"), (3, "stdout")):
        await stream.write(frames.open(number, {"streamtype": kind}))
    async with asyncio.timeout(SECONDS):
        while content := await stream.read():
            answers.feed(content)
    assert answers.content[3] == b"hello\n"
    assert b"Success" in answers.content[1]
    stream.close()
    await client.close()


async def test_a_port_forward_url_reaches_the_pod(pod: Pod) -> None:
    identity = await pod.start("mkdir -p /www; echo page > /www/index.html; httpd -p 8080 -h /www; sleep 60")
    listens = ("sh", "-c", "until grep -q :1F90 /proc/net/tcp*; do usleep 10000; done")
    await pod.service.exec_sync(m.ExecSyncRequest(container_id=identity, cmd=listens, timeout=10))
    url = (await pod.service.port_forward(s.PortForwardRequest(pod_sandbox_id=pod.identity, port=(8080,)))).url
    content = b""
    async with asyncio.timeout(SECONDS), websocket(f"{url}?ports=8080") as socket:
        await socket.send(b"\x00GET / HTTP/1.0\r\n\r\n")
        async for message in socket:
            assert isinstance(message, bytes)
            content += message[1:] if message[0] == 0 else b""
            if b"page" in content:
                break
    assert b"200 OK" in content


async def test_a_pod_in_the_hosts_network_is_forwarded_to_through_it(pod: Pod) -> None:
    on_host = c.LinuxSandboxSecurityContext(
        namespace_options=c.NamespaceOption(network=NamespaceMode.NODE, pid=NamespaceMode.CONTAINER)
    )
    config = c.PodSandboxConfig(
        metadata=c.PodSandboxMetadata(name="host", namespace="default", uid="h"),
        linux=c.LinuxPodSandboxConfig(security_context=on_host),
    )
    identity = (await pod.service.run_pod_sandbox(s.RunPodSandboxRequest(config=config))).pod_sandbox_id

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    content = b""
    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server, asyncio.timeout(SECONDS):
        port = server.sockets[0].getsockname()[1]
        url = (await pod.service.port_forward(s.PortForwardRequest(pod_sandbox_id=identity, port=(port,)))).url
        async with websocket(f"{url}?ports={port}") as socket:
            async for message in socket:
                assert isinstance(message, bytes)
                content += message[1:] if message[0] == 0 else b""
                if b"hello" in content:
                    break
    assert content.endswith(b"hello")
    await pod.service.remove_pod_sandbox(s.RemovePodSandboxRequest(pod_sandbox_id=identity))


async def test_figures_are_told_by_container_and_by_pod(pod: Pod) -> None:
    identity = await pod.start("sleep 60")
    stats = (await pod.service.container_stats(st.ContainerStatsRequest(container_id=identity))).stats
    assert stats is not None
    assert stats.attributes is not None
    assert stats.attributes.id == identity
    assert stats.memory is not None
    listed = await pod.service.list_container_stats(st.ListContainerStatsRequest())
    assert [each.attributes.id for each in listed.stats if each.attributes] == [identity]
    whole = (await pod.service.pod_sandbox_stats(st.PodSandboxStatsRequest(pod_sandbox_id=pod.identity))).stats
    assert whole is not None
    assert whole.attributes is not None
    assert whole.attributes.id == pod.identity


async def test_limits_are_changed_while_the_container_runs(pod: Pod) -> None:
    identity = await pod.start("sleep 60")
    wanted = c.LinuxContainerResources(memory_limit_in_bytes=64 << 20)
    await pod.service.update_container_resources(m.UpdateContainerResourcesRequest(container_id=identity, linux=wanted))
    show = "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes"
    answer = await pod.service.exec_sync(m.ExecSyncRequest(container_id=identity, cmd=("/bin/sh", "-c", show)))
    assert answer.stdout.strip() == str(64 << 20).encode()


async def test_a_verbose_status_has_facts_for_whoever_looks_closer(pod: Pod) -> None:
    identity = await pod.start("sleep 60")
    container = await pod.service.container_status(m.ContainerStatusRequest(container_id=identity, verbose=True))
    assert '"pid":' in container.info["info"]
    sandbox = await pod.service.pod_sandbox_status(s.PodSandboxStatusRequest(pod_sandbox_id=pod.identity, verbose=True))
    assert "networkNamespace" in sandbox.info["info"]
    answer = await pod.service.status(r.StatusRequest(verbose=True))
    assert answer.status is not None
    assert {(each.type, each.status) for each in answer.status.conditions} >= {
        ("RuntimeReady", True),
        ("NetworkReady", True),
    }


async def test_requests_that_make_no_sense_are_refused(pod: Pod) -> None:
    identity = await pod.start("sleep 60")
    with pytest.raises(Invalid):
        await pod.service.exec(m.ExecRequest(container_id=identity, cmd=("true",)))
    with pytest.raises(Invalid):
        await pod.service.exec(m.ExecRequest(container_id=identity, cmd=("true",), tty=True, stdout=True, stderr=True))
    with pytest.raises(Invalid):
        await pod.service.start_container(m.StartContainerRequest(container_id=identity))
    with pytest.raises(Unimplemented):
        await pod.service.checkpoint_container(m.CheckpointContainerRequest(container_id=identity))


def websocket(url: str) -> connect:
    protocols = [Subprotocol("v5.channel.k8s.io"), Subprotocol("v4.channel.k8s.io")]
    return connect(url.replace("http", "ws", 1), subprotocols=protocols, proxy=None)


def target(url: str) -> Target:
    host, port = url.split("/")[2].split(":")
    return Target(host, int(port))


def path(url: str) -> str:
    return "/" + url.split("/", 3)[3]


async def test_a_streamed_list_is_the_list(pod: Pod) -> None:
    service, identity = pod.service, await pod.start("sleep 60")
    for wanted in (None, s.PodSandboxFilter(id=pod.identity), s.PodSandboxFilter(id="none")):
        listed = (await service.list_pod_sandbox(s.ListPodSandboxRequest(filter=wanted))).items
        parts = service.stream_pod_sandboxes(s.StreamPodSandboxesRequest(filter=wanted))
        assert [item async for part in parts for item in part.pod_sandboxes] == list(listed)
    for held in (None, m.ContainerFilter(pod_sandbox_id=pod.identity), m.ContainerFilter(id="none")):
        containers = (await service.list_containers(m.ListContainersRequest(filter=held))).containers
        streamed = service.stream_containers(m.StreamContainersRequest(filter=held))
        assert [item async for part in streamed for item in part.containers] == list(containers)
    figures = service.stream_container_stats(st.StreamContainerStatsRequest())
    assert [one.attributes.id async for part in figures for one in part.container_stats if one.attributes] == [identity]
    pods = service.stream_pod_sandbox_stats(st.StreamPodSandboxStatsRequest())
    found = [one.attributes.id async for part in pods for one in part.pod_sandbox_stats if one.attributes]
    metrics = service.stream_pod_sandbox_metrics(st.StreamPodSandboxMetricsRequest())
    told = [one.pod_sandbox_id async for part in metrics for one in part.pod_sandbox_metrics]
    assert found == told == [pod.identity]
