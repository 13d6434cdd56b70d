"""Two users over real sockets: one floods the API server and is told to come later, the other hardly notices.

Nothing is timed: what counts is how many of the flood's requests are served while the quiet user waits for one answer.
"""

import asyncio
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from knarr.assembly import pki
from knarr.base.clock import SystemClock
from knarr.client.http import HttpTransport
from knarr.client.requests import ApiClient
from knarr.kinds import registry
from knarr.kinds.core_config import CONFIGMAP
from knarr.wire import tls
from knarr.wire.http_client import Target
from tests.conformance.control_plane import settings_of

CONNECTIONS = 450
QUIET_REQUESTS = 10
LIST = "/api/v1/namespaces/default/configmaps?labelSelector=nobody%3Dhas"


@dataclass
class Server:
    directory: Path
    port: int

    def context(self, user: str) -> ssl.SSLContext:
        made = self.directory / "pki"
        return tls.client_context(authority=made / "ca.crt", certificate=made / f"{user}.crt", key=made / f"{user}.key")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    clock = SystemClock()
    made = pki.ensure(settings_of(tmp_path, port), clock.now())
    authority = tls.KeyPair((made / "ca.crt").read_bytes(), (made / "ca.key").read_bytes())
    for user in ("flood", "quiet"):
        pair = tls.issue_client(authority, user, ("readers",), clock.now(), days=1)
        tls.write(made / f"{user}.crt", pair.certificate)
        tls.write(made / f"{user}.key", pair.key)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.conformance.control_plane", str(tmp_path), str(port),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), 30) == b"ready\n"
    found = Server(tmp_path, port)
    await _fill(found)
    yield found
    process.send_signal(signal.SIGTERM)
    await process.wait()


async def _fill(server: Server) -> None:
    """ConfigMaps that make a list cost something, and the right to list them."""
    transport = HttpTransport(Target("127.0.0.1", server.port, server.context("admin")))
    client = ApiClient(transport, "test")
    for number in range(400):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c{number}", "labels": {"a": "b"}}}
        await client.create(CONFIGMAP, "default", body)
    binding = registry.row("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding")
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "readers"}
    body = {"apiVersion": binding.api_version, "kind": binding.kind, "metadata": {"name": "readers"},
            "roleRef": role, "subjects": [subject]}  # fmt: skip
    await client.create(binding, "", body)
    await transport.close()


class Client:
    """One connection of one user."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @staticmethod
    async def of(server: Server, context: ssl.SSLContext) -> "Client":
        return Client(*await asyncio.open_connection("127.0.0.1", server.port, ssl=context))

    async def get(self, target: str) -> tuple[int, dict[str, str]]:
        self.writer.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in head[1:] if line)}
        await self.reader.readexactly(int(headers["content-length"]))
        return int(head[0].split()[1]), headers


@dataclass
class Flood:
    served: int = 0
    refused: int = 0
    retry_after: str = ""

    async def run(self, client: Client, stop: asyncio.Event) -> None:
        while not stop.is_set():
            status, headers = await client.get(LIST)
            if status == 200:
                self.served += 1
            else:
                assert status == 429
                self.refused += 1
                self.retry_after = headers["retry-after"]


async def test_a_flood_is_told_to_come_later_while_another_user_is_served(server: Server) -> None:
    context = server.context("flood")
    clients = []
    for _ in range(CONNECTIONS // 50):
        clients += await asyncio.gather(*(Client.of(server, context) for _ in range(50)))
    quiet = await Client.of(server, server.context("quiet"))
    flood, stop, waited = Flood(), asyncio.Event(), []
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(flood.run(client, stop))
        while not flood.refused:
            assert (await quiet.get("/api/v1/namespaces/default/configmaps/c1"))[0] == 200
        for _ in range(QUIET_REQUESTS):
            before = flood.served
            status, _ = await quiet.get("/api/v1/namespaces/default/configmaps/c1")
            assert status == 200
            waited.append(flood.served - before)
        stop.set()
    for client in [*clients, quiet]:
        client.writer.close()

    assert flood.served > 0
    assert flood.retry_after == "1"
    # Without fairness a request waits for one of every connection; with it, for a few turns of the loop.
    assert sorted(waited)[QUIET_REQUESTS // 2] < CONNECTIONS // 4, waited
