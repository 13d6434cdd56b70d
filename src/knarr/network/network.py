"""The pod network: gives a sandbox's network namespace an address, and takes it back.

`Network` is implemented by network/bridge.py (a Linux bridge and veth pairs) and in memory (network/memory.py) for
tests. Both calls are idempotent: attaching an attached sandbox answers its address, detaching the absent succeeds.
It knows nothing of Services (proxy) and CRI.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Protocol

from knarr.base.ids import SandboxId


@dataclass(frozen=True, slots=True)
class HostPort:
    """A port of the host that leads to one of the pod. `protocol` is tcp, udp or sctp; `host_address` "" is the host
    itself and its pods, but no other machine."""

    protocol: str
    pod_port: int
    host_port: int
    host_address: str = ""


@dataclass(frozen=True, slots=True)
class Attached:
    """What a sandbox got: its addresses, the first is the pod's."""

    addresses: tuple[IPv4Address, ...]


class Network(Protocol):
    async def attach(self, sandbox: SandboxId, namespace: Path, ports: Sequence[HostPort] = ()) -> Attached:
        """Raises Unavailable when no address is left."""
        ...

    async def detach(self, sandbox: SandboxId) -> None: ...

    def address(self, sandbox: SandboxId) -> IPv4Address | None:
        """The address given to a sandbox; None without one."""
        ...

    def link(self, sandbox: SandboxId) -> str | None:
        """The host's side of the sandbox's link, if there is one to count bytes on."""
        ...

    def holders(self) -> set[SandboxId]:
        """Every sandbox that has an address: what is not known any more can be detached."""
        ...
