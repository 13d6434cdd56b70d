"""Whether the networks that a cluster asks for can be its own: `up` asks before it starts anything. Pure but for
`running`, which reads what other clusters on this machine have, and `reached`: whom the machine itself needs.
"""

import sys
from collections.abc import Mapping, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from pathlib import Path

from knarr.assembly import settings as settings_module
from knarr.assembly import supervise
from knarr.assembly.settings import Settings
from knarr.base.errors import Invalid
from knarr.cli import printing
from knarr.cli.printing import Failure
from knarr.network import resolv_conf

PREFIX_MAX = 28
"""A smaller network has no room for a node's pods."""


def check(settings: Settings, others: Sequence[Settings], neighbours: Mapping[IPv4Address, str]) -> None:
    """Raises Failure where a network is none; where two of them, or two clusters' pods, would share addresses; or where
    pods' addresses would hide one of `neighbours`, hosts that this machine needs, with what each is to it."""
    pods = _network("--pod-network", settings.pod_network)
    services = _network("--service-network", settings.service_network)
    if pods.overlaps(services):
        raise Failure(
            f"the pod network {pods} and the service network {services} overlap",
            "an address must be a pod's or a Service's",
            "give another with --pod-network or --service-network",
            printing.EXIT_USAGE,
        )
    for address, role in neighbours.items():
        if address in pods:
            raise Failure(
                f"the pod network {pods} would hide {address}",
                f"that is the {role} of this machine",
                f"give another with --pod-network, say {_free(others, services, neighbours)}",
                printing.EXIT_IN_USE,
            )
    for other in others:
        if pods.overlaps(IPv4Network(other.pod_network)):
            raise Failure(
                f"the pod network {pods} is in use",
                f"the cluster {other.name!r} has {other.pod_network}",
                f"give another with --pod-network, say {_free(others, services, neighbours)}",
                printing.EXIT_IN_USE,
            )


def running(settings: Settings) -> list[Settings]:
    """Other clusters beside this one's state that have pods and run."""
    found = []
    for file in settings.data_dir.parent.glob(f"*/{settings_module.FILE_NAME}"):
        try:
            other = settings_module.load(file.parent)
        except Invalid:
            continue  # another version's cluster must not keep this one from starting
        if other and other.name != settings.name and not other.api_only and supervise.running_pid(other, "node"):
            found.append(other)
    return found


def reached(resolvers: Path | None = None, routes: Path = Path("/proc/net/route")) -> dict[IPv4Address, str]:
    """The name servers and gateways of this machine; a file that is not there names none."""
    found = {}
    for address in resolv_conf.nameservers(resolvers or resolv_conf.path()):
        if _is_address(address):
            found[IPv4Address(address)] = "name server"
    for line in _lines(routes)[1:]:
        gateway = IPv4Address(int(line.split()[2], 16).to_bytes(4, sys.byteorder))
        if int(gateway):
            found[gateway] = "gateway"
    return found


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(errors="replace").splitlines()
    except OSError:
        return []


def _is_address(text: str) -> bool:
    try:
        IPv4Address(text)
    except AddressValueError:
        return False
    return True


def _network(flag: str, text: str) -> IPv4Network:
    try:
        network = IPv4Network(text)
    except (AddressValueError, NetmaskValueError, ValueError) as error:
        raise Failure(
            f"{flag}: {text!r} is not a network", str(error), "write it as 10.244.0.0/16", printing.EXIT_USAGE
        ) from error
    if network.prefixlen > PREFIX_MAX:
        raise Failure(
            f"{flag}: {text} is too small",
            f"a cluster needs /{PREFIX_MAX} or larger",
            "write it as 10.244.0.0/16",
            printing.EXIT_USAGE,
        )
    return network


def _free(others: Sequence[Settings], services: IPv4Network, neighbours: Mapping[IPv4Address, str]) -> IPv4Network:
    taken = [
        services,
        *(IPv4Network(other.pod_network) for other in others),
        *(IPv4Network(each) for each in neighbours),
    ]
    candidates = (IPv4Network(f"10.{second}.0.0/16") for second in range(244, 0, -1))
    return next(network for network in candidates if not any(network.overlaps(each) for each in taken))
