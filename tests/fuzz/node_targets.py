"""Targets of the node and the wire: HTTP, WebSocket, SPDY, CRI messages, logs, configurations, what the kernel says."""
# ruff: noqa: E501  # a target is a row

import asyncio
import contextlib
import socket
import struct
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

from knarr.cli import kubeconfig, printing
from knarr.client import refusals
from knarr.client.requests import ApiClient
from knarr.cri import codec
from knarr.cri.messages.container import CreateContainerRequest
from knarr.kinds.core_config import CONFIGMAP
from knarr.kubelet import configuration, env_files, expansion, log_lines, node_status, static_pods
from knarr.kubelet.log_lines import LineReader, LogOptions
from knarr.network import rtnetlink
from knarr.nodeapi import messages
from knarr.runtime import cgroups, conmon
from knarr.scheduler import configuration as scheduler_configuration
from knarr.wire import channels, http, spdy, strict_yaml
from knarr.wire.http_connection import ServerConnection
from knarr.wire.http_server import Server
from knarr.wire.spdy_session import Session
from knarr.wire.websocket import WebSocket, WebSocketStreams
from tests.fuzz.target import Target, text

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOG = b"2026-01-01T00:00:00.1+00:00 stdout F hello\n2026-01-01T00:00:01+00:00 stderr P part\n2026-01-01T00:00:01Z stderr F end\n"
REQUEST = b"POST /a?b=c HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n"
KUBECONFIG = (
    b"apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters: [{name: a, cluster: {server: 'https://b'}}]\n"
    b"users: [{name: a, user: {token: x}}]\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n"
)
SCHEDULER = (
    b"apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles:\n- schedulerName: a\n"
    b"  plugins: {score: {disabled: [{name: '*'}], enabled: [{name: ImageLocality, weight: 2}]}}\n"
    b"  pluginConfig: [{name: NodeResourcesFit, args: {scoringStrategy: {type: LeastAllocated, resources: [{name: cpu, weight: 1}]}}}]\n"
)
STATIC_POD = b"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: i}]}\n"
KUBELET = b"apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nevictionHard: {memory.available: 10%}\nimageMinimumGCAge: 2m\n"
MEMINFO, CPUINFO = b"MemTotal:  8000 kB\nMemFree: 1 kB\nMemAvailable: 5 kB\n", b"processor : 0\nmodel name : x\n\n"


class Pieces:
    """A connection that says what it is given, in two pieces, and then ends."""

    def __init__(self, content: bytes) -> None:
        self._pieces = [content[: len(content) // 2], content[len(content) // 2 :]]

    async def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    async def write(self, content: bytes) -> None:
        pass

    async def close_write(self) -> None:
        pass

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass


def websocket(content: bytes) -> None:
    wanted = channels.Wanted(stdin=True, stdout=True, stderr=True, tty=False)

    async def conversation() -> None:
        streams = WebSocketStreams(WebSocket(Pieces(content)), wanted, 5)
        reading = asyncio.create_task(streams.run())
        while await streams.read_stdin():
            pass
        await reading

    asyncio.run(conversation())


def spdy_session(content: bytes) -> None:
    asyncio.run(Session(Pieces(content), lambda stream: None).run())


def spdy_frames(content: bytes) -> None:
    reader = spdy.Codec()
    for start in range(0, len(content), 7):
        reader.feed(content[start : start + 7])


class AnsweredByAFault(Exception):
    """The server answered 5xx, or not as HTTP."""


def http_server(content: bytes) -> None:
    answer = asyncio.run(_served(content))
    if answer and (
        not answer.startswith(b"HTTP/1.1 ") or b"\r\nHTTP/1.1 5" in answer or answer.startswith(b"HTTP/1.1 5")
    ):
        raise AnsweredByAFault(answer)


async def _echo(request: http.Request) -> http.Response:
    body = await request.read(1 << 20)
    return http.Response(200, (), b"%d" % len(body))


async def _served(content: bytes) -> bytes:
    ours, theirs = socket.socketpair()
    server = Server(_echo)
    loop = asyncio.get_running_loop()
    await loop.connect_accepted_socket(lambda: ServerConnection(server), theirs)
    reader, writer = await asyncio.open_connection(sock=ours)
    found = b""
    with contextlib.suppress(ConnectionError):
        writer.write(content)
        writer.write_eof()
        found = await reader.read()
    writer.close()
    await server.close(0.1)
    return found


class Said:
    """A transport whose every answer is a stream of these bytes."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def send(self, request: http.Request) -> http.Response:
        return http.Response(200, (("content-type", "application/json"),), self._pieces())

    async def _pieces(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._content), 50):
            yield self._content[start : start + 50]


def watch_events(content: bytes) -> None:
    async def read() -> None:
        client = ApiClient(Said(content), "fuzz")
        async for _ in client.watch(CONFIGMAP, "", since=1):
            pass

    asyncio.run(read())


def log(content: bytes) -> bytes:
    reader = LineReader(LogOptions(timestamps=True, since=NOW, limit_bytes=1 << 20))
    return b"".join(reader.feed(content[start : start + 9]) for start in range(0, len(content), 9))


def netlink(content: bytes) -> None:
    for _, body in rtnetlink._messages(content, 1):
        list(rtnetlink._attributes(body))


def machine(content: bytes) -> object:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        (root / "meminfo").write_bytes(content)
        return node_status.machine(root)


def kubeconfig_file(content: bytes) -> object:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "config"
        file.write_bytes(content)
        return kubeconfig.without(kubeconfig.read(file), "a")


def usage(content: bytes) -> object:
    """The same bytes in every file of a group."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        (root / "cgroup.controllers").write_text("cpu memory")
        (root / "g").mkdir()
        for name in ("cpu.stat", "memory.current", "memory.stat", "pids.current", "memory.events", "cgroup.procs"):
            (root / "g" / name).write_bytes(content)
        return cgroups.Cgroups(root).usage("/g")


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 1, 0) + body


FRAMES = (
    b"\x82\x84\0\0\0\0\0abc" + b"\x89\x80\0\0\0\0" + b"\x82\x82\0\0\0\0\xff\0" + b"\x88\x82\0\0\0\0\x03\xe8",
    b"\x02\x81\0\0\0\0\0\x80\x81\0\0\0\0a",
)
SPDY = spdy.Codec().open(1, {"streamtype": "stdin"}) + spdy.data(1, b"hello") + spdy.reset(1, 5) + spdy.goaway(1)
CRI = codec.encode(CreateContainerRequest(pod_sandbox_id="a"))

TARGETS = (
    Target("requests on a connection", http_server, (REQUEST, CHUNKED, b"GET http://h/a HTTP/1.0\r\n\r\n"),
           (b"\r\n", b"\n", b"Content-Length: ", b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n",
            b"Upgrade: x\r\n", b"0\r\n\r\n", b"HTTP/1.1", b" ", b"ffffffffffffffff")),
    Target("WebSocket", websocket, FRAMES, (b"\x82\xfe\0\x7f", b"\x80", b"\x89\x80\0\0\0\0", b"\xff" * 10, b"\x81\x80\0\0\0\0")),
    Target("SPDY frames", spdy_frames, (SPDY,), (b"\x80\x03\0\1", b"\0\0\0\1", b"\xff\xff\xff", b"\x80\x03\0\6\0\0\0\4\0\0\0\1"),
           refuses=(spdy.SpdyError,)),
    Target("SPDY session", spdy_session, (SPDY,), (b"\x80\x03\0\1", b"\0\0\0\1\1\0\0\0", b"\x80\x03\0\7\0\0\0\0"), refuses=()),
    Target("events of a watch", watch_events,
           (b'{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"2"}}}\n{"type":"ERROR","object":{"code":410}}\n',),
           (b"\n", b"{}", b"null", b'"type":1', b'"BOOKMARK"', b"[]")),
    Target("a server's refusal", lambda content: refusals.error(409, content), (b'{"kind":"Status","reason":"Conflict","message":"m","code":409}',),
           (b"null", b"{}", b"[]", b"1", b'"details":{"causes":[{}]}'), refuses=()),
    Target("CRI message", lambda content: codec.decode(CreateContainerRequest, content), (CRI, b"\x0a\x01a\x12\x05\x0a\x03\x0a\x01b"),
           (b"\x12\x7f", b"\xff" * 10, b"\x0a\x00", b"\x0b", b"\x0c")),
    Target("container log", log, (LOG,), (b" F ", b" P ", b"\n", b"stdout", b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:59-23:59"), refuses=()),
    Target("options of a log", text(lambda found: log_lines.options(found, NOW)),
           (b"follow=true&tailLines=10&sinceTime=2026-01-01T00:00:00Z&limitBytes=1&stream=All", b"sinceSeconds=5"),
           (b"=", b"&", b"%", b"sinceTime=0001-01-01T00:00:00%2B23:59", b"sinceSeconds=999999999999999999", b"tailLines=-1")),
    Target("file of variables", text(env_files.parsed), (b"A=b\nexport C='d'\n# x\nE=\"f\\n\"\n",), (b"=", b"'", b'"', b"\\", b"#", b"\n")),
    Target("expansion of variables", text(lambda found: expansion.expand(found, {"A": "$(A)"})), (b"a$(A)$$(B)$(C",), (b"$(", b")", b"$$", b"$"), refuses=()),
    Target("KubeletConfiguration", lambda content: configuration.read(strict_yaml.decode(content)), (KUBELET,), (b"null", b"{}", b"-1", b"1h", b"%", b"[]")),
    Target("static pod", lambda content: static_pods.static_pod(content, "f", "n", NOW), (STATIC_POD,), (b"null", b"{}", b"[]", b"metadata:", b"kind: List")),
    Target("scheduler configuration", text(scheduler_configuration.parsed), (SCHEDULER,), (b"null", b"{}", b"[]", b"-1", b"'*'", b"weight: 101")),
    Target("message of the command", lambda content: messages.decode(content, messages.BuildBody), (b'{"tags":["a"],"context":[["f","a",420,0,1,"sha256:a"]]}',),
           (b"null", b"[]", b"{}", b"-1")),
    Target("kubeconfig", kubeconfig_file, (KUBECONFIG,), (b"null", b"{}", b"[]", b"&a", b"*a", b"1"), refuses=(printing.Failure,)),
    Target("netlink", netlink, (message(16, b"\0" * 16 + struct.pack("=HH", 8, 3) + b"lo\0\0"), message(3, b"")),
           (b"\0\0", b"\xff\xff", struct.pack("=HH", 4, 1), struct.pack("=I", 16)), refuses=()),
    Target("/proc/meminfo", machine, (MEMINFO,), (b"kB", b":", b"-1", b"MemTotal:"), refuses=(OSError,)),
    Target("cgroup files", usage, (b"usage_usec 5\nuser_usec 1\n", b"4096\n", b"max\n"), (b"max", b"-1", b" ", b"\n", b"inactive_file 5"),
           refuses=(ValueError, IndexError)),  # the kernel writes these; what counts is that nothing hangs
    Target("answer of conmon", conmon.created_pid, (b'{"pid":5}\n', b'{"pid":-1,"message":"no"}\n', b'{"data":1}\n'), (b"null", b"[]", b"{}", b"\n")),
)  # fmt: skip
