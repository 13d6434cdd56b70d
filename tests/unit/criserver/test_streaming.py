"""The streaming server and what runs behind it, with processes of the host."""

import asyncio
import os
from typing import Literal, cast

import msgspec
import pytest

from knarr.base.errors import Invalid, TooMany, Unavailable
from knarr.base.ids import ContainerId
from knarr.cri.messages.container import AttachRequest, ExecRequest
from knarr.criserver import exec_streams, streaming
from knarr.criserver.streaming import StreamingServer
from knarr.runtime.runtime import ExecSpec, Monitor, Runtime
from knarr.wire import channels, http
from knarr.wire.http_client import Client, Target
from tests.conformance.streams_stage import HostProcess, HostRuntime

RUNTIME = cast(Runtime, HostRuntime())
ID = ContainerId("c")


class Recorder(channels.Incoming):
    """channels.Streams that keep what is written."""

    def __init__(self, wanted: channels.Wanted) -> None:
        super().__init__()
        self.wanted = wanted
        self.content: dict[int, bytes] = {1: b"", 2: b""}
        self.status: dict[str, object] = {}

    async def write(self, channel: Literal[1, 2], content: bytes) -> None:
        if self.is_gone:
            raise ConnectionResetError
        self.content[channel] += content

    async def finish(self, status: bytes) -> None:
        self.status = msgspec.json.decode(status)


async def executed(*command: str, stdin: bytes = b"", tty: bool = False) -> Recorder:
    streams = Recorder(channels.Wanted(stdin=True, stdout=True, stderr=not tty, tty=tty))
    await streams.add_stdin(stdin)
    streams.close_stdin()
    async with asyncio.timeout(10):
        await exec_streams.run_exec(RUNTIME, ID, ExecSpec(command, has_terminal=tty), streams)
    return streams


async def test_output_input_and_exit_code_meet() -> None:
    streams = await executed("sh", "-c", "cat; echo err >&2; exit 3", stdin=b"abc")
    assert streams.content == {1: b"abc", 2: b"err\n"}
    assert streams.status == {
        "metadata": {},
        "status": "Failure",
        "message": "command terminated with non-zero exit code: exit status 3",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": "3"}]},
    }


async def test_a_terminal_has_one_output() -> None:
    streams = await executed("sh", "-c", "echo out; echo err >&2; test -t 0", tty=True)
    assert streams.content == {1: b"out\r\nerr\r\n", 2: b""}
    assert streams.status["status"] == "Success"


async def test_a_child_that_keeps_the_output_open_does_not_keep_the_exec() -> None:
    streams = await executed("sh", "-c", "sleep 3 & echo done")
    assert streams.content[1] == b"done\n"
    assert streams.status["status"] == "Success"


async def test_a_client_that_leaves_ends_the_command() -> None:
    streams = Recorder(channels.Wanted(stdout=True))
    running = asyncio.create_task(exec_streams.run_exec(RUNTIME, ID, ExecSpec(("sleep", "50")), streams))
    before = len(os.listdir("/proc/self/fd"))
    await asyncio.sleep(0)
    streams.end()
    async with asyncio.timeout(5):
        await running
    assert len(os.listdir("/proc/self/fd")) <= before


async def test_what_cannot_start_is_said_in_the_status() -> None:
    class Broken:
        async def exec(
            self, container: ContainerId, spec: ExecSpec, *, stdin: bool, stdout: bool, stderr: bool
        ) -> HostProcess:
            raise Unavailable("no such file")

    streams = Recorder(channels.Wanted(stdout=True))
    await exec_streams.run_exec(cast(Runtime, Broken()), ID, ExecSpec(("x",)), streams)
    assert "no such file" in str(streams.status["message"])
    assert streams.status["code"] == 500


async def test_attach_passes_output_input_and_sizes() -> None:
    streams = Recorder(channels.Wanted(stdin=True, stdout=True, stderr=True))
    streams.add_resize(b'{"Width":80,"Height":24}')
    await streams.add_stdin(b"word\n")
    streams.close_stdin()
    async with asyncio.timeout(5):
        await exec_streams.run_attach(cast(Monitor, HostRuntime()), ID, streams, closes_stdin=True)
    assert streams.content[1].startswith(b"hello\n")
    assert b"80x24\n" in streams.content[1]
    assert b"WORD\n" in streams.content[1]
    assert streams.content[2] == b"err\n"


class Listening:
    """A container that keeps its input open and says nothing."""

    def __init__(self) -> None:
        self.heard = b""
        self.is_open = True

    async def attach(self, container: ContainerId) -> "Listening":
        return self

    async def read(self) -> tuple[Literal[1, 2], bytes] | None:
        await asyncio.Event().wait()
        return None

    async def write(self, content: bytes) -> None:
        self.heard += content

    def close_stdin(self) -> None:
        raise AssertionError("its input is not this client's to close")

    def close(self) -> None:
        self.is_open = False


@pytest.mark.parametrize(("closes_stdin", "tty"), [(False, False), (True, True)])
async def test_the_end_of_input_ends_an_attach_that_cannot_pass_it_on(closes_stdin: bool, tty: bool) -> None:
    streams, container = Recorder(channels.Wanted(stdin=True, stdout=True, tty=tty)), Listening()
    await streams.add_stdin(b"word\n")
    streams.close_stdin()
    async with asyncio.timeout(5):
        await exec_streams.run_attach(cast(Monitor, container), ID, streams, closes_stdin=closes_stdin)
    assert (container.heard, container.is_open, streams.status["status"]) == (b"word\n", False, "Success")


async def test_a_url_is_good_once() -> None:
    server = StreamingServer(RUNTIME, cast(Monitor, HostRuntime()))
    await server.start()
    client = Client()
    url = server.exec_url(ExecRequest(container_id="c", cmd=("true",), stdout=True))
    host, _, path = url.removeprefix("http://").partition("/")
    target = Target("127.0.0.1", int(host.partition(":")[2]))
    for found, status in ((f"/{path}", 400), (f"/{path}", 404), ("/exec/guess", 404), ("/", 404), ("/a/b/c/d", 404)):
        response = await client.request(target, http.Request("GET", found))
        assert response.status == status
        await response.read(1000)
    await client.close()
    await server.close()


async def test_requests_without_streams_and_floods_of_urls_are_refused() -> None:
    server = StreamingServer(RUNTIME, cast(Monitor, HostRuntime()))
    with pytest.raises(Invalid):
        server.exec_url(ExecRequest(container_id="c", cmd=("true",)))
    with pytest.raises(Invalid):
        server.attach_url(AttachRequest(container_id="c", tty=True, stdout=True, stderr=True))
    for _ in range(streaming.URLS_MAX):
        server.port_forward_url(None)
    with pytest.raises(TooMany):
        server.port_forward_url(None)
