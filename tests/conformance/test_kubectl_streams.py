"""Every kubectl found judges exec, attach, cp, port-forward and logs: WebSocket and SPDY, old and new."""

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlencode

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from knarr.wire import http, tls
from knarr.wire.http_client import Client, Target
from tests.conformance.streams_stage import Stage, free_port, stage


def kubectls() -> list[str]:
    """One path per version: those on PATH, and those that lie beside them."""
    folders = {Path(entry) for entry in os.environ.get("PATH", "").split(":") if entry}
    found = shutil.which("kubectl")
    if found is not None:
        folders.add(Path(found).resolve().parent)
    names = {path.name: str(path) for folder in folders if folder.is_dir() for path in folder.glob("kubectl*")}
    versions = [path for name, path in sorted(names.items()) if re.fullmatch(r"kubectl\.1\.[0-9]+", name)]
    return versions or ([found] if found is not None else [])


KUBECTLS = kubectls()
pytestmark = pytest.mark.skipif(not KUBECTLS, reason="no kubectl on this machine")
BLOB = os.urandom(1_000_000)
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(params=[True, False], ids=["in_process", "over_loopback"])
async def running(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    async with stage(tmp_path, is_in_process=request.param) as found:
        yield found


async def kubectl(path: str, url: str, *arguments: str, stdin: bytes | None = None) -> tuple[int, bytes, bytes]:
    """(exit code, stdout, stderr)."""
    child = await asyncio.create_subprocess_exec(
        path,
        arguments[0],
        f"--server={url}",
        "--kubeconfig=/dev/null",
        *arguments[1:],
        stdin=asyncio.subprocess.PIPE if stdin is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(20):
            stdout, stderr = await child.communicate(stdin)
    except BaseException:
        child.kill()
        await child.wait()
        raise
    assert child.returncode is not None
    return child.returncode, stdout, stderr


@pytest.mark.parametrize("path", KUBECTLS, ids=lambda path: Path(path).name)
async def test_exec_keeps_streams_apart_and_gives_the_exit_code(path: str, running: Stage) -> None:
    command = ("exec", "web", "-c", "c", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    code, stdout, stderr = await kubectl(path, running.url, *command)
    assert (code, stdout) == (7, b"out\n")
    assert stderr.splitlines() == [b"err", b"command terminated with exit code 7"]


@pytest.mark.parametrize("path", KUBECTLS, ids=lambda path: Path(path).name)
async def test_exec_carries_input_to_its_end_and_large_output(path: str, running: Stage) -> None:
    code, stdout, _ = await kubectl(path, running.url, "exec", "-i", "web", "-c", "c", "--", "cat", stdin=BLOB)
    assert (code, stdout == BLOB) == (0, True)
    code, stdout, _ = await kubectl(path, running.url, "exec", "web", "-c", "c", "--", "head", "-c9000000", "/dev/zero")
    assert (code, len(stdout)) == (0, 9_000_000)


@pytest.mark.parametrize("path", KUBECTLS, ids=lambda path: Path(path).name)
async def test_attach_joins_the_containers_streams(path: str, running: Stage) -> None:
    code, stdout, _ = await kubectl(path, running.url, "attach", "-i", "web", "-c", "c", stdin=b"word\n")
    # kubectl's WebSocket reader starts beside the making of its streams and discards what comes for one too early.
    assert (code, stdout.removeprefix(b"hello\n")) == (0, b"WORD\n")


@pytest.mark.skipif(shutil.which("script") is None, reason="no script(1)")
@pytest.mark.parametrize("path", KUBECTLS, ids=lambda path: Path(path).name)
async def test_a_terminal_has_the_clients_size(path: str, running: Stage) -> None:
    inner = f"{path} exec --server={running.url} --kubeconfig=/dev/null -it web -c c -- stty size"
    child = await asyncio.create_subprocess_exec(
        "script", "-qec", f"stty rows 33 cols 77; {inner}", "/dev/null",
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(20):
        stdout, _ = await child.communicate()
    assert b"33 77" in stdout


@pytest.mark.parametrize("path", KUBECTLS, ids=lambda path: Path(path).name)
async def test_files_are_copied_both_ways(path: str, running: Stage, tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(BLOB)
    assert (await kubectl(path, running.url, "cp", f"{tmp_path}/one", f"web:{tmp_path}/two", "-c", "c"))[0] == 0
    assert (await kubectl(path, running.url, "cp", f"web:{tmp_path}/two", f"{tmp_path}/three", "-c", "c"))[0] == 0
    assert (tmp_path / "three").read_bytes() == BLOB


@pytest.mark.parametrize("path", KUBECTLS, ids=lambda path: Path(path).name)
async def test_ports_are_forwarded_for_many_connections_at_once(path: str, running: Stage) -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read()).upper())  # to the client's half-close
        await writer.drain()
        writer.close()

    async with _forwarded(path, running, shout) as local:
        answers = await asyncio.gather(*(_asked(local, b"%d abc" % number * 5000) for number in range(20)))
        assert answers == [b"%d ABC" % number * 5000 for number in range(20)]


@pytest.mark.parametrize("path", KUBECTLS, ids=lambda path: Path(path).name)
async def test_a_port_that_closes_first_is_closed_to_the_client(path: str, running: Stage) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"that is all")
        writer.close()

    async with _forwarded(path, running, greet) as local:
        assert await _asked(local, b"", says_its_end=False) == b"that is all"


@contextlib.asynccontextmanager
async def _forwarded(path: str, running: Stage, serve: Serve) -> AsyncIterator[int]:
    """The local port at which `kubectl port-forward` leads to the server; with 20 seconds for what is asked there."""
    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    remote, local = listener.sockets[0].getsockname()[1], free_port()
    child = await asyncio.create_subprocess_exec(
        path, "port-forward", f"--server={running.url}", "--kubeconfig=/dev/null", "web", f"{local}:{remote}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        async with asyncio.timeout(20):
            await child.stdout.readline()
            yield local
    finally:
        child.kill()
        await child.wait()
        listener.close()
        await listener.wait_closed()


async def _asked(port: int, content: bytes, *, says_its_end: bool = True) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(content)
    if says_its_end:
        writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize("path", KUBECTLS[-1:], ids=lambda path: Path(path).name)
async def test_logs_are_cut_and_followed_to_the_containers_end(path: str, running: Stage) -> None:
    lines = [f"2026-01-01T00:00:0{n}.123456789+00:00 stdout F line {n}\n" for n in range(5)]
    running.log.write_text("".join(lines))
    code, stdout, _ = await kubectl(path, running.url, "logs", "web", "-c", "c", "--tail=2", "--timestamps")
    assert (code, stdout) == (0, b"2026-01-01T00:00:03.123456789Z line 3\n2026-01-01T00:00:04.123456789Z line 4\n")
    asked = running.service.asked
    following = asyncio.create_task(kubectl(path, running.url, "logs", "-f", "web", "-c", "c", "--tail=1"))
    while running.service.asked < asked + 2:  # where the log is, and then, with the log open, whether more is to come
        await asyncio.sleep(0.01)
    running.log.rename(running.log.with_name("0.log.1"))
    running.log.write_text("2026-01-01T00:00:07.1+00:00 stdout F after the rotation\n")
    running.service.stop("c")
    assert await following == (0, b"line 4\nafter the rotation\n", b"")
    code, stdout, stderr = await kubectl(path, running.url, "logs", "web", "-c", "c", "--previous")
    assert (code, stdout) == (1, b"")
    assert b'previous terminated container "c" in pod "web" not found' in stderr


@pytest.mark.parametrize("path", [KUBECTLS[0], KUBECTLS[-1]], ids=lambda path: Path(path).name)
@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (("-c", "c", "--limit-bytes=9"), b"line 0\nli"),
        (("-c", "c", "--since-time=2026-01-01T00:00:03Z"), b"line 3\nline 4\n"),
        (("-c", "c", "--since=1h"), b""),
        (("-c", "c", "--tail=0"), b""),
        (("--all-containers", "--prefix", "--tail=1"), b"[pod/web/c] line 4\n[pod/web/d] line 4\n"),
    ],
    ids=["limit-bytes", "since-time", "since", "tail", "all-containers"],
)
async def test_logs_are_cut_as_asked(path: str, flags: tuple[str, ...], wanted: bytes, running: Stage) -> None:
    lines = [f"2026-01-01T00:00:0{n}.123456789+00:00 stdout F line {n}\n" for n in range(5)]
    running.log.write_text("".join(lines))
    code, stdout, stderr = await kubectl(path, running.url, "logs", "web", *flags)
    # kubectl asks for the containers of a pod in no order.
    assert (code, sorted(stdout.splitlines()), stderr) == (0, sorted(wanted.splitlines()), b"")


@pytest.mark.parametrize("version", ["v4", "v5"])
async def test_a_terminal_follows_the_clients_size(version: str, running: Stage) -> None:
    query = urlencode({"container": "c", "command": "sh", "stdin": "true", "stdout": "true", "tty": "true"})
    url = f"{running.url.replace('http', 'ws', 1)}/api/v1/namespaces/default/pods/web/exec?{query}"
    protocols = [Subprotocol(f"{version}.channel.k8s.io")]
    async with asyncio.timeout(20), connect(url, subprotocols=protocols, proxy=None) as socket:
        await socket.send(b'\x04{"Width":77,"Height":33}')
        await socket.send(b"\x00stty size\n")
        await _said(socket, b"33 77")
        await socket.send(b'\x04{"Width":100,"Height":40}')
        await socket.send(b"\x00stty size; exit\n")
        await _said(socket, b"40 100")


async def _said(socket: ClientConnection, wanted: bytes) -> None:
    content = b""
    async for message in socket:
        assert isinstance(message, bytes)
        content += message[1:]
        if wanted in content:
            return
    raise AssertionError(content)


@pytest.mark.parametrize("path", KUBECTLS[-1:], ids=lambda path: Path(path).name)
async def test_refusals_are_upstreams_sentences(path: str, running: Stage) -> None:
    for arguments, text in (
        (("logs", "web", "-c", "c", "--previous"), b'previous terminated container "c" in pod "web" not found'),
        (("exec", "web", "-c", "x", "--", "true"), b"container x is not valid for pod web"),
        (("exec", "nope", "--", "true"), b'pods "nope" not found'),
    ):
        code, _, stderr = await kubectl(path, running.url, *arguments)
        assert code == 1
        assert text in stderr


async def test_the_kubelet_serves_nobody_without_the_right_certificate(running: Stage) -> None:
    client = Client()
    pki = running.pki
    for name, status in (("", 401), ("nobody", 403), ("apiserver-kubelet-client", 200)):
        certificate = {"certificate": pki / f"{name}.crt", "key": pki / f"{name}.key"} if name else {}
        context = tls.client_context(authority=pki / "ca.crt", **certificate)
        target = Target("127.0.0.1", running.kubelet_port, context, server_name="node1")
        for path in ("/healthz", "/exec/default/web/c", "/pods"):
            response = await client.request(target, http.Request("GET", path))
            assert response.status == status or (status == 200 and response.status in (400, 404))
            await response.read(10_000)
    await client.close()
