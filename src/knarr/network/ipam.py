"""Addresses of pods: which is free (pure), and files that remember who has which.

Addresses are given in a circle, so that one just freed is not used again at once by another pod. The network's own
address, the first host (the bridge: the pods' gateway) and the broadcast address are never given.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import msgspec

from knarr.base import lines
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


class LeaseFiles:
    """Leases as files, one for each address: no two can ever have the same name. They lie below /run, as the
    namespaces do: a reboot ends both."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def read(self) -> Leases:
        held, ports = dict[SandboxId, IPv4Address](), dict[SandboxId, tuple[HostPort, ...]]()
        for path in self._directory.iterdir():
            line = next(lines.latest(path), None)
            if line is None:
                path.unlink()  # cut short: nobody was told of the address yet
                continue
            stored = msgspec.json.decode(line, type=_Stored)
            held[stored.sandbox] = IPv4Address(path.name)
            if stored.ports:
                ports[stored.sandbox] = stored.ports
        return Leases(held, None, ports)

    def keep(self, leases: Leases, sandbox: SandboxId) -> None:
        """Write the sandbox's lease down."""
        stored = _Stored(sandbox=sandbox, ports=leases.ports.get(sandbox, ()))
        lines.append(self._directory / str(leases.by_sandbox[sandbox]), msgspec.json.encode(stored))

    def forget(self, address: IPv4Address) -> None:
        (self._directory / str(address)).unlink(missing_ok=True)


class _Stored(msgspec.Struct):
    sandbox: SandboxId
    ports: tuple[HostPort, ...] = ()
