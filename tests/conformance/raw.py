"""A control plane without controllers, over TLS, and plain requests to it: what is written stays as it is written."""

import asyncio
import contextlib
import http.client
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knarr.assembly import control, pki
from knarr.assembly.settings import Settings
from knarr.base.clock import SystemClock
from knarr.wire import tls
from knarr.wire.http_server import Server

Json = dict[str, Any]
SECONDS = 30.0
MERGE = "application/merge-patch+json"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@dataclass(frozen=True)
class Api:
    """The API as its administrator reaches it."""

    port: int
    directory: Path

    async def __call__(
        self, method: str, path: str, body: Any = None, *, accept: str = "application/json"
    ) -> tuple[int, Json]:
        """The answer's code and body."""
        return await asyncio.to_thread(self._request, method, path, body, accept)

    def _request(self, method: str, path: str, body: Any, accept: str) -> tuple[int, Json]:
        context = ssl.create_default_context(cafile=str(self.directory / "ca.crt"))
        context.load_cert_chain(self.directory / "admin.crt", self.directory / "admin.key")
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=SECONDS)
        headers = {"accept": accept, "content-type": MERGE if method == "PATCH" else "application/json"}
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(text) if text[:1] == b"{" else {}

    async def made(self, path: str, obj: Json) -> None:
        """Create an object, and write the status it has."""
        code, found = await self("POST", path, obj)
        assert code == 201, found
        if "status" in obj:
            place = f"{path}/{obj['metadata']['name']}/status"
            code, found = await self("PUT", place, {**found, "status": obj["status"]})
            assert code == 200, found


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Api]:
    settings = Settings(name="raw", data_dir=folder, run_dir=folder / "run", api_only=True, node_name="none")
    clock = SystemClock()
    directory = pki.ensure(settings, clock.now())
    async with control.opened(settings, directory, clock) as running:
        server = Server(running.pipeline.handle)
        context = tls.server_context(
            directory / "apiserver.crt", directory / "apiserver.key", client_authority=directory / "ca.crt"
        )
        port = await server.listen_tcp("127.0.0.1", 0, tls=context)
        yield Api(port, directory)
        await server.close(0.1)
