"""The resolver configuration and the hosts file of a pod.

Pure. Spec: docs "DNS for Services and Pods" (policies, dnsConfig) and "Adding entries to Pod /etc/hosts".
"""

from collections.abc import Iterable
from dataclasses import dataclass

from knarr.base.errors import Invalid
from knarr.cri.messages.config import DNSConfig
from knarr.kinds.lens.pod import Pod

HOSTNAME_MAX = 63
FQDN_MAX = 64
"""The kernel's bound of a host name."""
SEARCHES_MAX = 32
NAMESERVERS_MAX = 3


@dataclass(frozen=True, slots=True)
class Resolver:
    """The lines of a resolv.conf."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def parse(text: str) -> Resolver:
    """A resolv.conf as the resolver reads it; the last search or domain line counts."""
    servers: list[str] = []
    searches: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        if len(words) < 2:
            continue
        if words[0] == "nameserver":
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            searches = tuple(word.rstrip(".") or "." for word in words[1:])
        elif words[0] == "options":
            options += words[1:]
    return Resolver(tuple(servers), searches, tuple(options))


def dns_config(pod: Pod, host: Resolver, cluster_servers: tuple[str, ...], domain: str) -> DNSConfig:
    """What the pod's resolv.conf shall say."""
    policy = pod.spec.dns_policy or "ClusterFirst"
    is_cluster = policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not pod.spec.host_network)
    if policy == "None":
        base = Resolver()
    elif is_cluster and cluster_servers:
        namespace = pod.metadata.namespace
        searches = (f"{namespace}.svc.{domain}", f"svc.{domain}", domain)
        base = Resolver(cluster_servers, _unique((*searches, *host.searches)), ("ndots:5",))
    else:
        base = host
    return _merged(pod, base)


def _merged(pod: Pod, base: Resolver) -> DNSConfig:
    extra = pod.spec.dns_config
    if extra is None:
        return DNSConfig(servers=base.servers[:NAMESERVERS_MAX], searches=base.searches, options=base.options)
    options = {name.partition(":")[0]: name for name in base.options}
    for option in extra.options:
        options[option.name] = f"{option.name}:{option.value}" if option.value else option.name
    return DNSConfig(
        servers=_unique((*base.servers, *extra.nameservers))[:NAMESERVERS_MAX],
        searches=_unique((*base.searches, *extra.searches))[:SEARCHES_MAX],
        options=tuple(options.values()),
    )


def _unique(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


def hostname(pod: Pod) -> str:
    """The pod's hostname, cut to what a host name may have."""
    if pod.spec.hostname_override:
        return pod.spec.hostname_override
    return (pod.spec.hostname or pod.metadata.name)[:HOSTNAME_MAX].rstrip("-.")


def fqdn(pod: Pod, domain: str) -> str:
    """The fully qualified name that a subdomain gives a pod, or "" without one."""
    if not pod.spec.subdomain:
        return ""
    return f"{hostname(pod)}.{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{domain}"


def host_name(pod: Pod, domain: str) -> str:
    """What the pod calls itself: its hostname, or the whole of its name if the spec asks for that. Raises Invalid for
    one that no kernel holds."""
    if not (pod.spec.set_hostname_as_fqdn and pod.spec.subdomain):
        return hostname(pod)
    name = fqdn(pod, domain)
    if len(name) > FQDN_MAX:
        text = f"failed to construct FQDN from pod hostname and cluster domain, FQDN {name} is too long"
        raise Invalid(f"{text} ({FQDN_MAX} characters is the max, {len(name)} characters requested)")
    return name


def hosts_file(pod: Pod, ips: tuple[str, ...], domain: str, host_file: str = "") -> str:
    """/etc/hosts of the pod's containers; on the host's network the host's own lines come first."""
    if pod.spec.host_network:
        text = "# Kubernetes-managed hosts file (host network).\n" + host_file
    else:
        text = _HOSTS
        names = " ".join(filter(None, (fqdn(pod, domain), hostname(pod)))).replace(" ", "\t")
        text += "".join(f"{ip}\t{names}\n" for ip in ips)
    if pod.spec.host_aliases:
        text += "\n# Entries added by HostAliases.\n"
        text += "".join(f"{alias.ip}\t" + "\t".join(alias.hostnames) + "\n" for alias in pod.spec.host_aliases)
    return text


_HOSTS = """# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""
