"""The Network in memory: addresses without links, for tests and the simulation."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from knarr.base.ids import SandboxId
from knarr.network import ipam
from knarr.network.network import Attached, HostPort


class MemoryNetwork:
    def __init__(self, pods: str = "10.244.0.0/16") -> None:
        self._pods = IPv4Network(pods)
        self._leases = ipam.Leases()

    async def attach(self, sandbox: SandboxId, namespace: Path, ports: Sequence[HostPort] = ()) -> Attached:
        self._leases, address = ipam.lease(self._leases, self._pods, sandbox)
        return Attached((address,))

    async def detach(self, sandbox: SandboxId) -> None:
        self._leases = ipam.release(self._leases, sandbox)

    def address(self, sandbox: SandboxId) -> IPv4Address | None:
        return self._leases.by_sandbox.get(sandbox)

    def link(self, sandbox: SandboxId) -> str | None:
        return None

    def holders(self) -> set[SandboxId]:
        return set(self._leases.by_sandbox)
