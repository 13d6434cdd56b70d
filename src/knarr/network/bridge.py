"""The pod network as a Linux bridge: one veth pair a pod, the bridge's address is the gateway.

A pod's address is alone in its network (/32) and its port on the bridge is isolated, so all that pods say to each other
is routed by the host: rules for Services and policies see it in both directions, and no pod can answer for another.

`set_up` makes the bridge, forwarding and rules (idempotent); `tear_down` removes all of it. A pod's host side is
called `knarr` + 8 hexadecimal digits of its sandbox. Links are made by raw netlink in well under 5 ms.
Not here: which address (ipam.py), which rules (ruleset.py), Services (proxy/).
"""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from knarr.base.errors import KnarrError
from knarr.base.failpoints import failpoint
from knarr.base.ids import SandboxId
from knarr.network import ipam, namespaces, nft, ruleset
from knarr.network.network import Attached, HostPort
from knarr.network.rtnetlink import Netlink

LINK = "eth0"
"""The name of a pod's link inside the pod."""


def link_name(sandbox: SandboxId) -> str:
    """The host side of a sandbox's pair, within the kernel's 15 characters."""
    return "knarr" + hashlib.sha256(sandbox.encode()).hexdigest()[:8]


def hardware_address(address: IPv4Address) -> bytes:
    """A locally administered MAC address that no other pod has, from its IP address."""
    return b"\x0a\x58" + address.packed


def outside_mtu(routes: str, links: Path = Path("/sys/class/net")) -> int:
    """The MTU of the link that the default route takes, so that no packet of a pod is too big for it; else 1500."""
    for line in routes.splitlines()[1:]:
        link, destination, *_ = line.split()
        if destination == "00000000":
            return int((links / link / "mtu").read_text())
    return 1500


class BridgeNetwork:
    """`leases` is a directory below /run; `names` the nft table and the bridge; `pods` the network of all pods."""

    def __init__(self, leases: Path, names: ruleset.Names, pods: IPv4Network) -> None:
        self._files = ipam.LeaseFiles(leases)
        self._leases = self._files.read()
        self._names = names
        self._pods = pods
        self._opening = asyncio.Lock()

    @property
    def gateway(self) -> IPv4Address:
        return ipam.gateway(self._pods)

    async def set_up(self) -> None:
        """Make bridge, forwarding and rules, or mend what is missing of them."""
        await asyncio.to_thread(nft.check)
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        with Netlink() as netlink:
            if netlink.index(self._names.bridge) is None:
                netlink.add_bridge(self._names.bridge, hardware_address(self.gateway))
            index = netlink.index(self._names.bridge)
            assert index is not None
            netlink.add_address(index, IPv4Interface((self.gateway, self._pods.prefixlen)))
            netlink.set_up(index)
        Path(f"/proc/sys/net/ipv4/conf/{self._names.bridge}/send_redirects").write_text("0")
        # A port of the host on 127.0.0.1 may lead to a pod; the rules drop what pods send to 127.0.0.0/8.
        Path(f"/proc/sys/net/ipv4/conf/{self._names.bridge}/route_localnet").write_text("1")
        await nft.run(ruleset.pod_network(self._names, self._pods))
        await nft.run(ruleset.ports(self._names, [self._port(*held) for held in self._leases.by_sandbox.items()]))
        await self._open_ports()
        await self._accept_in_docker_user()

    async def tear_down(self) -> None:
        """Remove bridge, rules and leases."""
        with Netlink() as netlink:
            await asyncio.to_thread(netlink.delete, self._names.bridge)
        await nft.run(ruleset.removed(self._names))
        with contextlib.suppress(KnarrError):
            listing = await nft.run("list chain ip filter DOCKER-USER", with_numbers=True)
            await nft.run(ruleset.docker_user_removed(self._names, listing))
        for address in self._leases.by_sandbox.values():
            self._files.forget(address)
        self._leases = ipam.Leases()

    async def attach(self, sandbox: SandboxId, namespace: Path, ports: Sequence[HostPort] = ()) -> Attached:
        self._leases, address = ipam.lease(self._leases, self._pods, sandbox)
        self._leases = ipam.with_ports(self._leases, sandbox, ports)
        self._files.keep(self._leases, sandbox)
        failpoint("network.after_lease")
        descriptor = os.open(namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._connect(sandbox, address, descriptor)
        finally:
            os.close(descriptor)
        await nft.run(ruleset.port_added(self._names, self._port(sandbox, address)))
        await namespaces.inside(namespace, lambda: self._configure(address))
        if ports:
            await self._open_ports()
        return Attached((address,))

    async def detach(self, sandbox: SandboxId) -> None:
        # The kernel waits some 25 ms until nobody looks at the link any more: not on the loop.
        await asyncio.to_thread(_delete_link, link_name(sandbox))
        if sandbox in self._leases.by_sandbox:
            had_ports = sandbox in self._leases.ports
            address = self._leases.by_sandbox[sandbox]
            await nft.run(ruleset.port_removed(self._names, self._port(sandbox, address)))
            self._files.forget(address)
            self._leases = ipam.release(self._leases, sandbox)
            if had_ports:
                await self._open_ports()

    def address(self, sandbox: SandboxId) -> IPv4Address | None:
        return self._leases.by_sandbox.get(sandbox)

    def link(self, sandbox: SandboxId) -> str | None:
        return link_name(sandbox) if sandbox in self._leases.by_sandbox else None

    def holders(self) -> set[SandboxId]:
        return set(self._leases.by_sandbox)

    def _connect(self, sandbox: SandboxId, address: IPv4Address, namespace: int) -> None:
        name = link_name(sandbox)
        with Netlink() as netlink:
            bridge = netlink.index(self._names.bridge)
            assert bridge is not None, f"{self._names.bridge} is gone"
            if netlink.master(name) != bridge:
                netlink.delete(name)  # of an attempt that was cut short, or of a bridge that is gone
                netlink.add_veth(
                    name,
                    bridge,
                    peer=LINK,
                    hardware=hardware_address(address),
                    namespace=namespace,
                    mtu=outside_mtu(Path("/proc/net/route").read_text()),
                )
            index = netlink.index(name)
            assert index is not None
            netlink.isolate(index)

    @staticmethod
    def _port(sandbox: SandboxId, address: IPv4Address) -> ruleset.Port:
        return ruleset.Port(link_name(sandbox), hardware_address(address), address)

    def _configure(self, address: IPv4Address) -> None:
        with Netlink() as netlink:
            index = netlink.index(LINK)
            assert index is not None
            netlink.set_up(index)
            netlink.add_address(index, IPv4Interface((address, 32)))
            netlink.add_default_route(index, self.gateway)

    async def _open_ports(self) -> None:
        async with self._opening:  # each text replaces the whole: an older one must not come after a newer one
            held = [(self._leases.by_sandbox[owner], each) for owner, each in self._leases.ports.items()]
            await nft.run(ruleset.host_ports(self._names, held))

    async def _accept_in_docker_user(self) -> None:
        with contextlib.suppress(KnarrError):  # no such table: docker is not here
            listing = await nft.run("list chain ip filter DOCKER-USER")
            rules = ruleset.docker_user(self._names, listing)
            if rules:
                await nft.run(rules)


def _delete_link(name: str) -> None:
    with Netlink() as netlink:
        netlink.delete(name)
