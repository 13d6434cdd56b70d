"""The pod network's nftables rules as text. Pure.

Pods reach the outside under the host's address, and of the host itself the API and DNS (TRUST SEC-01); each speaks by
its own addresses only. Other machines reach neither the bridge's address nor a pod but by a port of the host that was
asked for, though they know a route; a foreign firewall's FORWARD policy is not ours to change, except the accept rules
that docker's DOCKER-USER chain is for (the drop here counts after those too: each chain of a hook is asked).
Not here: Services (proxy/), and running the text (nft.py). The table is shared with them: only our chains are flushed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from knarr.network import ipam
from knarr.network.network import HostPort

_ANY = ("", "0.0.0.0", "::")  # noqa: S104  # compared with, never bound to


@dataclass(frozen=True, slots=True)
class Names:
    """The table (`knarr-NAME`, in the families inet and bridge) and the bridge of a cluster; pods reach `api_port` of
    the bridge's address."""

    table: str
    bridge: str
    api_port: int = 6443


@dataclass(frozen=True, slots=True)
class Port:
    """One pod's port on the bridge: the host's side of its link, and the addresses that are its own."""

    link: str
    hardware: bytes
    address: IPv4Address


def pod_network(names: Names, pods: IPv4Network) -> str:
    """Create the table and our chains, or replace what is in them, in one transaction."""
    table, bridge, gateway = f"inet {names.table}", names.bridge, ipam.gateway(pods)
    return f"""\
add table {table}
add chain {table} pods_out {{ type nat hook postrouting priority srcnat; policy accept; }}
add chain {table} pods_in {{ type filter hook input priority filter; policy accept; }}
add chain {table} pods_forward {{ type filter hook forward priority filter; policy accept; }}
add chain {table} pods_to_loopback {{ type filter hook prerouting priority raw; policy accept; }}
flush chain {table} pods_to_loopback
flush chain {table} pods_out
flush chain {table} pods_in
flush chain {table} pods_forward
add rule {table} pods_to_loopback iifname "{bridge}" ip daddr 127.0.0.0/8 drop
add rule {table} pods_out oifname "{bridge}" ip saddr 127.0.0.0/8 masquerade
add rule {table} pods_out ip saddr {pods} ip daddr != {pods} oifname != "{bridge}" masquerade
add rule {table} pods_in iifname != {{ "{bridge}", "lo" }} ip daddr {gateway} drop
add rule {table} pods_in iifname "{bridge}" ct state established,related accept
add rule {table} pods_in iifname "{bridge}" ip protocol icmp accept
add rule {table} pods_in iifname "{bridge}" ip daddr {gateway} tcp dport {{ 53, {names.api_port} }} accept
add rule {table} pods_in iifname "{bridge}" ip daddr {gateway} udp dport 53 accept
add rule {table} pods_in iifname "{bridge}" reject with icmpx admin-prohibited
add rule {table} pods_forward iifname "{bridge}" accept
add rule {table} pods_forward oifname "{bridge}" ct state established,related accept
add rule {table} pods_forward iifname != "{bridge}" oifname "{bridge}" ip daddr {pods} ct status dnat accept
add rule {table} pods_forward oifname "{bridge}" drop
"""


def ports(names: Names, held: Sequence[Port]) -> str:
    """Who may say what on the bridge's ports, as a whole: a pod speaks by its own link, hardware and IP address only.

    Everything but IPv4 and ARP is dropped, so that no pod plays a router of IPv6 (TRUST SEC-19).
    """
    table = f"bridge {names.table}"
    # By the links' names, since not every kernel can tell a rule the bridge's.
    own = f"add rule {table} ports_in iifname @links"
    lines = [
        f"add table {table}",
        f"add set {table} links {{ type ifname; }}",
        f"add set {table} ports {{ type ifname . ether_addr . ipv4_addr; }}",
        f"add chain {table} ports_in {{ type filter hook prerouting priority filter; policy accept; }}",
        f"flush chain {table} ports_in",
        f"flush set {table} links",
        f"flush set {table} ports",
        f"{own} ether type ip iifname . ether saddr . ip saddr != @ports drop",
        f"{own} ether type arp iifname . arp saddr ether . arp saddr ip != @ports drop",
        f"{own} ether type != {{ ip, arp }} drop",
    ]
    return "".join(f"{line}\n" for line in lines) + "".join(port_added(names, each) for each in held)


def port_added(names: Names, port: Port) -> str:
    """Let a link speak for its pod."""
    return _elements("add", names, port)


def port_removed(names: Names, port: Port) -> str:
    """Whether it is there or not."""
    return _elements("add", names, port) + _elements("delete", names, port)


def _elements(verb: str, names: Names, port: Port) -> str:
    to = f"{verb} element bridge {names.table}"
    own = f'"{port.link}" . {port.hardware.hex(":")} . {port.address}'
    return f'{to} ports {{ {own} }}\n{to} links {{ "{port.link}" }}\n'


def host_ports(names: Names, held: Sequence[tuple[IPv4Address, Sequence[HostPort]]]) -> str:
    """The chains that lead ports of the host to pods, replaced as a whole.

    A port without an address of the host is for the host and its pods; one with an address is open to whoever reaches
    that address.
    """
    table = f"inet {names.table}"
    lines = [
        f"add chain {table} ports_in {{ type nat hook prerouting priority dstnat; policy accept; }}",
        f"add chain {table} ports_out {{ type nat hook output priority -100; policy accept; }}",
        f"flush chain {table} ports_in",
        f"flush chain {table} ports_out",
    ]
    for address, ports in held:
        for port in ports:
            there = f"{port.protocol} dport {port.host_port} dnat ip to {address}:{port.pod_port}"
            asked = port.host_address not in _ANY
            where = f"ip daddr {IPv4Address(port.host_address)}" if asked else "fib daddr type local"
            inbound = where if asked else f'iifname "{names.bridge}" {where}'
            lines.append(f"add rule {table} ports_in {inbound} {there}")
            lines.append(f"add rule {table} ports_out {where} {there}")
    return "".join(f"{line}\n" for line in lines)


def removed(names: Names) -> str:
    """Remove the tables, whether they are there or not."""
    tables = [f"{family} {names.table}" for family in ("inet", "bridge")]
    return "".join(f"add table {table}\ndelete table {table}\n" for table in tables)


def docker_user(names: Names, listing: str) -> str:
    """Rules for docker's DOCKER-USER chain that are not in its listing; "" if there are none to add or no chain."""
    if "chain DOCKER-USER" not in listing:
        return ""
    rules = [f'iifname "{names.bridge}" counter accept', f'oifname "{names.bridge}" counter accept']
    missing = [rule for rule in rules if rule.split(" counter")[0] not in listing]
    return "".join(f"insert rule ip filter DOCKER-USER {rule}\n" for rule in missing)


def docker_user_removed(names: Names, listing: str) -> str:
    """Delete our rules, by their handles, from docker's chain."""
    ours = (line for line in listing.splitlines() if f'name "{names.bridge}"' in line and "# handle " in line)
    return "".join(f"delete rule ip filter DOCKER-USER handle {int(line.rpartition(' ')[2])}\n" for line in ours)
