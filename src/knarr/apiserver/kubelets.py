"""How the API server reaches kubelets: their address out of the Node, and the certificate it shows them.

The kubelet of this machine is reached on loopback, where it listens; others on the InternalIP that their Node names.
"""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from knarr.base import logs
from knarr.base.clock import Instant
from knarr.base.errors import KnarrError, Unavailable
from knarr.wire import http, strict_json, tls
from knarr.wire.http_client import Client, Target

CERTIFICATE: Final = "apiserver-kubelet-client"
PORT: Final = 10250
SUMMARY_SECONDS: Final = 3.0
"""How long a kubelet may take to say what its pods use; `kubectl top` waits for the slowest."""
BRIEF: Final = "only_cpu_and_memory=true"
SUMMARY_BYTES_MAX: Final = 16 * 1024 * 1024
FRESH: Final = timedelta(seconds=1)
"""A summary this young answers again: two samples closer together would make a rate of noise."""
FIRST_WINDOW: Final = timedelta(seconds=0.1)
"""The kubelet's own distance of samples when nobody asked it within RATED before (kubelet/pages.py)."""
RATED: Final = timedelta(seconds=60)
NODES_KEPT: Final = 1000
log = logs.log("apiserver")


class Cpu(msgspec.Struct, rename="camel"):
    """`usage_nano_cores` is absent until there were two samples."""

    time: str
    usage_nano_cores: int = 0


class Memory(msgspec.Struct, rename="camel"):
    working_set_bytes: int


class Part(msgspec.Struct, rename="camel"):
    """The figures of a node, a pod or a container."""

    cpu: Cpu
    memory: Memory


class ContainerPart(Part, rename="camel"):
    name: str


class PodReference(msgspec.Struct):
    uid: str


class PodPart(Part, rename="camel"):
    pod_ref: PodReference
    containers: list[ContainerPart] = []


class Document(msgspec.Struct):
    """What is read of /stats/summary."""

    node: Part
    pods: list[PodPart]


@dataclass(frozen=True, slots=True)
class Summary:
    """The document of /stats/summary at a moment, and the time over which its CPU rates were taken."""

    at: Instant
    document: Document
    window: timedelta


@dataclass(slots=True)
class _Kept:
    """A node's last summary. One request at a time asks the kubelet, those that came meanwhile share the answer."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    summary: Summary | None = None


class Kubelets:
    """Connections to kubelets, kept alive. `client` serves plain HTTP (pods/proxy) too."""

    def __init__(self) -> None:
        self.client = Client(head_seconds=30.0, keeps_spare=True)
        self._context: ssl.SSLContext | None = None
        self._local = socket.gethostname().lower()
        self._kept: dict[str, _Kept] = {}

    def target(self, node: Mapping[str, Any], pki: Path | None) -> Target:
        """Where the kubelet of a node is. `pki` is the folder of certificates. Raises Unavailable."""
        name = str(node["metadata"]["name"])
        return Target(self._address(node), kubelet_port(node), self._tls(pki), server_name=name)

    async def summary(self, node: Mapping[str, Any], pki: Path | None, now: Instant) -> Summary | None:
        """What the node's pods use, at most FRESH old; None when its kubelet does not say so in time."""
        name = str(node["metadata"]["name"])
        if len(self._kept) >= NODES_KEPT and name not in self._kept:
            self._kept.clear()
        kept = self._kept.setdefault(name, _Kept())
        try:
            async with asyncio.timeout(SUMMARY_SECONDS), kept.lock:
                if kept.summary is None or now - kept.summary.at > FRESH:
                    document = await self._summary_document(self.target(node, pki))
                    kept.summary = Summary(now, document, _window(kept.summary, now))
                return kept.summary
        except (KnarrError, TimeoutError, *strict_json.UNREADABLE) as error:
            log.warning("%s", logs.fields(node=name, event="no statistics", error=str(error) or "no answer in time"))
            return None

    async def _summary_document(self, target: Target) -> Document:
        response = await self.client.request(target, http.Request("GET", "/stats/summary", BRIEF, (), b""))
        body = await response.read(SUMMARY_BYTES_MAX)
        if response.status != 200:
            raise Unavailable(f"the kubelet answered {response.status}")
        return msgspec.json.decode(body, type=Document)

    def _address(self, node: Mapping[str, Any]) -> str:
        name = str(node["metadata"]["name"])
        if name == self._local:
            return "127.0.0.1"
        for entry in node.get("status", {}).get("addresses", ()):
            if entry.get("type") == "InternalIP":
                return str(entry["address"])
        raise Unavailable(f"no preferred addresses found; known addresses: [] of node {name}")

    def _tls(self, pki: Path | None) -> ssl.SSLContext:
        if self._context is None:
            if pki is None:
                raise Unavailable("this API server has no certificate for kubelets")
            self._context = tls.client_context(
                authority=pki / "ca.crt", certificate=pki / f"{CERTIFICATE}.crt", key=pki / f"{CERTIFICATE}.key"
            )
        return self._context


def _window(before: Summary | None, now: Instant) -> timedelta:
    return now - before.at if before is not None and now - before.at <= RATED else FIRST_WINDOW


def kubelet_port(node: Mapping[str, Any]) -> int:
    endpoint = node.get("status", {}).get("daemonEndpoints", {}).get("kubeletEndpoint", {})
    return int(endpoint.get("Port") or PORT)
