"""The files that the containers of a sandbox share: /etc/hosts, /etc/hostname, /etc/resolv.conf. Pure texts."""

from collections.abc import Sequence

from knarr.cri.messages.config import DNSConfig


def resolv_conf(dns: DNSConfig) -> str:
    """resolv.conf(5) of a DNS configuration."""
    lines = []
    if dns.searches:
        lines.append(f"search {' '.join(dns.searches)}")
    lines += [f"nameserver {server}" for server in dns.servers]
    if dns.options:
        lines.append(f"options {' '.join(dns.options)}")
    return "".join(f"{line}\n" for line in lines)


def hosts(hostname: str, addresses: Sequence[str]) -> str:
    """A minimal hosts(5); the kubelet mounts its own over it."""
    lines = ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
    lines += [f"{address}\t{hostname}" for address in addresses if hostname]
    return "".join(f"{line}\n" for line in lines)
