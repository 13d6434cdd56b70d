"""The cluster's certificates: made on first start, renewed at 70 % of their life, all in one directory, 0600.

A table of leaves; their owners load the files by these names. Certificates themselves are wire/tls.py's.
"""

import fcntl
import ipaddress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from knarr.assembly.settings import Settings
from knarr.base.clock import Instant
from knarr.wire import tls

LEAF_DAYS: Final = 365
RENEW_AFTER: Final = timedelta(days=round(LEAF_DAYS * 0.7))
UNREAD_SECONDS: Final = 30 * 86400
"""Reading a certificate loads a library for 40 ms: a start that needs none of it is that much sooner."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """One certificate. With `names` it is a server's, else a client's of `groups`."""

    name: str
    common_name: str
    groups: tuple[str, ...] = ()
    names: tuple[str, ...] = ()


def gateway(settings: Settings) -> str:
    """The bridge's address, at which pods reach this machine: the first of the pod network."""
    return str(ipaddress.ip_network(settings.pod_network)[1])


def leaves(settings: Settings) -> tuple[Leaf, ...]:
    """Every certificate of the cluster but the CA."""
    network = ipaddress.ip_network(settings.service_network)
    domain = settings.cluster_domain
    api_names = (
        "kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{domain}",
        "localhost", "127.0.0.1", "::1", str(network[1]), gateway(settings), settings.node_name,
    )  # fmt: skip
    node = settings.node_name
    return (
        Leaf("apiserver", "kube-apiserver", names=tuple(dict.fromkeys(api_names))),
        Leaf("admin", "kubernetes-admin", ("system:masters",)),
        Leaf("apiserver-kubelet-client", "system:kube-apiserver", ("system:masters",)),
        Leaf("kubelet", f"system:node:{node}", ("system:nodes",)),
        Leaf("kubelet-server", f"system:node:{node}", names=(node, "localhost", "127.0.0.1", gateway(settings))),
    )


def ensure(settings: Settings, now: Instant) -> Path:
    """Make what is missing or soon too old; returns the directory.

    Control and node start together and both ask; the lock lets one make the files and the other find them.
    """
    directory = settings.pki_dir
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for leaf in leaves(settings):
            if _is_due(directory / f"{leaf.name}.crt", now):
                _issue(directory, _authority(directory, now), leaf, now)
    return directory


def _is_due(path: Path, now: Instant) -> bool:
    """Whether a certificate is missing or past 70 % of its life. A file of the last weeks is taken at its word."""
    try:
        age = now.timestamp() - path.stat().st_mtime
    except FileNotFoundError:
        return True
    if 0 <= age < UNREAD_SECONDS:
        return False
    return now >= tls.expires(path.read_bytes()) - timedelta(days=LEAF_DAYS) + RENEW_AFTER


def is_complete(settings: Settings) -> bool:
    """Whether every file is there (their age is the control process's business)."""
    directory = settings.pki_dir
    return all((directory / f"{leaf.name}.crt").exists() for leaf in leaves(settings))


def authority(directory: Path) -> tls.KeyPair:
    """The CA that is there."""
    return tls.KeyPair((directory / "ca.crt").read_bytes(), (directory / "ca.key").read_bytes())


def _authority(directory: Path, now: Instant) -> tls.KeyPair:
    certificate, key = directory / "ca.crt", directory / "ca.key"
    if not key.exists() or not certificate.exists():
        made = tls.new_authority("knarr-ca", now)
        tls.write(key, made.key)
        tls.write(certificate, made.certificate)
    return authority(directory)


def _issue(directory: Path, authority: tls.KeyPair, leaf: Leaf, now: Instant) -> None:
    if leaf.names:
        pair = tls.issue_server(authority, leaf.common_name, leaf.names, now, days=LEAF_DAYS)
    else:
        pair = tls.issue_client(authority, leaf.common_name, leaf.groups, now, days=LEAF_DAYS)
    tls.write(directory / f"{leaf.name}.key", pair.key)
    tls.write(directory / f"{leaf.name}.crt", pair.certificate)
