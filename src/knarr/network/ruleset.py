"""The pod network's nftables rules as text. Pure.

Pods reach the outside under the host's address; the bridge's address is not reachable from other machines; a foreign
firewall's FORWARD policy is not ours to change, except the accept rules that docker's DOCKER-USER chain is for.
Not here: Services (proxy/), and running the text (nft.py). The table is shared with them: only our chains are flushed.
"""

from dataclasses import dataclass
from ipaddress import IPv4Network

from knarr.network import ipam


@dataclass(frozen=True, slots=True)
class Names:
    """The table (`knarr-NAME`) and the bridge of a cluster."""

    table: str
    bridge: str


def pod_network(names: Names, pods: IPv4Network) -> str:
    """Create the table and our chains, or replace what is in them, in one transaction."""
    table, bridge = f"inet {names.table}", names.bridge
    return f"""\
add table {table}
add chain {table} pods_out {{ type nat hook postrouting priority srcnat; policy accept; }}
add chain {table} pods_in {{ type filter hook input priority filter; policy accept; }}
add chain {table} pods_forward {{ type filter hook forward priority filter; policy accept; }}
flush chain {table} pods_out
flush chain {table} pods_in
flush chain {table} pods_forward
add rule {table} pods_out ip saddr {pods} ip daddr != {pods} oifname != "{bridge}" masquerade
add rule {table} pods_in iifname != {{ "{bridge}", "lo" }} ip daddr {ipam.gateway(pods)} drop
add rule {table} pods_forward iifname "{bridge}" accept
add rule {table} pods_forward oifname "{bridge}" ct state established,related accept
add rule {table} pods_forward iifname != "{bridge}" oifname "{bridge}" ip daddr {pods} ct status dnat accept
"""


def removed(names: Names) -> str:
    """Remove the table, whether it is there or not."""
    return f"add table inet {names.table}\ndelete table inet {names.table}\n"


def docker_user(names: Names, listing: str) -> str:
    """Rules for docker's DOCKER-USER chain that are not in its listing; "" if there are none to add or no chain."""
    if "chain DOCKER-USER" not in listing:
        return ""
    rules = [f'iifname "{names.bridge}" counter accept', f'oifname "{names.bridge}" counter accept']
    missing = [rule for rule in rules if rule.split(" counter")[0] not in listing]
    return "".join(f"insert rule ip filter DOCKER-USER {rule}\n" for rule in missing)
