"""How the API server reaches kubelets: their address out of the Node, and the certificate it shows them.

The kubelet of this machine is reached on loopback, where it listens; others on the InternalIP that their Node names.
"""

import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from knarr.base.errors import Unavailable
from knarr.wire import tls
from knarr.wire.http_client import Client, Target

CERTIFICATE: Final = "apiserver-kubelet-client"
PORT: Final = 10250


class Kubelets:
    """Connections to kubelets, kept alive. `client` serves plain HTTP (pods/proxy) too."""

    def __init__(self) -> None:
        self.client = Client(head_seconds=30.0)
        self._context: ssl.SSLContext | None = None
        self._local = socket.gethostname().lower()

    def target(self, node: Mapping[str, Any], pki: Path | None) -> Target:
        """Where the kubelet of a node is. `pki` is the folder of certificates. Raises Unavailable."""
        name = str(node["metadata"]["name"])
        return Target(self._address(node), kubelet_port(node), self._tls(pki), server_name=name)

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


def kubelet_port(node: Mapping[str, Any]) -> int:
    endpoint = node.get("status", {}).get("daemonEndpoints", {}).get("kubeletEndpoint", {})
    return int(endpoint.get("Port") or PORT)
