"""Addresses of pods: which is free (pure), and a file that remembers who has which.

Addresses are given in a circle, so that one just freed is not used again at once by another pod. The network's own
address, the first host (the bridge: the pods' gateway) and the broadcast address are never given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import msgspec

from knarr.base.errors import Unavailable
from knarr.base.ids import SandboxId
from knarr.network.network import HostPort


@dataclass(frozen=True, slots=True)
class Leases:
    """Who has which address, and the one given last."""

    by_sandbox: Mapping[SandboxId, IPv4Address] = field(default_factory=dict)
    last: IPv4Address | None = None
    ports: Mapping[SandboxId, tuple[HostPort, ...]] = field(default_factory=dict)
    """Ports of the host that lead to sandboxes, of those that have any."""


def gateway(pods: IPv4Network) -> IPv4Address:
    """The bridge's address: the first host of the pods' network."""
    return pods.network_address + 1


def lease(leases: Leases, pods: IPv4Network, sandbox: SandboxId) -> tuple[Leases, IPv4Address]:
    """The sandbox's address, a new one if it has none. Raises Unavailable when all are taken."""
    had = leases.by_sandbox.get(sandbox)
    if had is not None:
        return leases, had
    first, last = int(pods.network_address) + 2, int(pods.broadcast_address) - 1
    taken = {int(address) for address in leases.by_sandbox.values()}
    size = last - first + 1
    start = int(leases.last) + 1 if leases.last is not None and leases.last in pods else first
    for step in range(size):
        candidate = first + (start - first + step) % size
        if candidate not in taken:
            address = IPv4Address(candidate)
            return replace(leases, by_sandbox={**leases.by_sandbox, sandbox: address}, last=address), address
    raise Unavailable(f"no address is left in {pods}: {len(taken)} pods have one")


def release(leases: Leases, sandbox: SandboxId) -> Leases:
    """The leases without the sandbox's; releasing the absent changes nothing."""
    kept = {owner: address for owner, address in leases.by_sandbox.items() if owner != sandbox}
    ports = {owner: held for owner, held in leases.ports.items() if owner != sandbox}
    return Leases(kept, leases.last, ports)


def with_ports(leases: Leases, sandbox: SandboxId, ports: Sequence[HostPort]) -> Leases:
    """The leases with ports of the host for the sandbox."""
    return replace(leases, ports={**leases.ports, sandbox: tuple(ports)}) if ports else leases


class LeaseFile:
    """Leases in a file, replaced as a whole. It lies below /run, as the namespaces do: a reboot ends both."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> Leases:
        try:
            stored = msgspec.json.decode(self._path.read_bytes(), type=_Stored)
        except FileNotFoundError:
            return Leases()
        held = {SandboxId(owner): IPv4Address(address) for owner, address in stored.held.items()}
        ports = {SandboxId(owner): each for owner, each in stored.ports.items()}
        return Leases(held, IPv4Address(stored.last) if stored.last else None, ports)

    def write(self, leases: Leases) -> None:
        stored = _Stored(
            held={owner: str(address) for owner, address in leases.by_sandbox.items()},
            last=str(leases.last) if leases.last is not None else "",
            ports={str(owner): each for owner, each in leases.ports.items()},
        )
        temporary = self._path.with_suffix(".new")
        temporary.write_bytes(msgspec.json.encode(stored))
        temporary.rename(self._path)


class _Stored(msgspec.Struct):
    held: dict[str, str]
    last: str
    ports: dict[str, tuple[HostPort, ...]] = {}
