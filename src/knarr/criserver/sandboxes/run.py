"""RunPodSandbox: namespaces, address, shared files and the cgroup of a pod. There is no process in it.

Only a pod that shares its process namespace needs one, which holds that namespace (pause.py).
"""

from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path
from socket import gethostname

from msgspec.structs import replace

from knarr.base import ids, linux, logs
from knarr.base.errors import AlreadyExists, Invalid, KnarrError
from knarr.base.failpoints import failpoint
from knarr.base.ids import SandboxId
from knarr.cri.messages.config import NamespaceOption, PodSandboxConfig, PodSandboxMetadata
from knarr.cri.messages.enums import ContainerEventType, NamespaceMode
from knarr.cri.messages.sandbox import RunPodSandboxRequest, RunPodSandboxResponse
from knarr.criserver import resources, user_namespaces
from knarr.criserver.containers import status
from knarr.criserver.node import Node, now
from knarr.criserver.records import SandboxRecord
from knarr.criserver.sandboxes import files, loss, pause, teardown
from knarr.criserver.user_namespaces import Users
from knarr.network import namespaces, resolv_conf
from knarr.network.network import HostPort
from knarr.oci.sysctls import namespace_of

_log = logs.log("criserver")
SHM_SIZE = "64m"
HANDLERS = ("", "knarr", "runc", "crun")
"""Names of the one runtime that there is, whichever of the two programs it uses."""
_SYSCTLS = {
    # Ping without NET_RAW, and ports below 1024 for any user: what leaves containers without root.
    "net.ipv4.ping_group_range": "0 2147483647",
    "net.ipv4.ip_unprivileged_port_start": "0",
}


async def run(node: Node, request: RunPodSandboxRequest) -> RunPodSandboxResponse:
    config = request.config
    if config is None or config.metadata is None:
        raise Invalid("sandbox config must include metadata")
    if request.runtime_handler not in HANDLERS:
        raise Invalid(f'no runtime for "{request.runtime_handler}" is configured')
    new_namespaces(config)  # refused before anything is made
    await _take_name(node, config.metadata)
    sandbox = SandboxId(ids.hex_id())
    parent = cgroup_parent(config, sandbox, node.places.cgroup)
    record = SandboxRecord(id=sandbox, config=config, created_at=now(), cgroup_parent=parent)
    async with node.locks[sandbox]:
        node.sandboxes.put(record)
        try:
            record = await _build(node, record)
        except BaseException:
            await _clean_up(node, record)
            raise
        record = replace(record, is_complete=True, is_ready=True, runtime_handler=request.runtime_handler)
        node.sandboxes.put(record)
        if record.pause is not None:
            loss.watch(node, record)
    for kind in (ContainerEventType.CONTAINER_CREATED_EVENT, ContainerEventType.CONTAINER_STARTED_EVENT):
        status.publish_sandbox(node, record, kind)
    return RunPodSandboxResponse(pod_sandbox_id=sandbox)


async def _take_name(node: Node, wanted: PodSandboxMetadata) -> None:
    """Raises AlreadyExists: a sandbox keeps its name until it is removed, so a call made twice makes one. What a failed
    creation left goes first: no list shows it, so nobody else would."""
    while other := next((o for o in node.sandboxes.all() if o.config.metadata == wanted), None):
        if not node.is_abandoned(other):
            name = f"{wanted.name}_{wanted.namespace}_{wanted.uid}_{wanted.attempt}"
            raise AlreadyExists(f"sandbox name {name!r} is reserved for {other.id!r}")
        async with node.locks[other.id]:
            await teardown.remove_all(node, other)
        node.locks.pop(other.id, None)


async def _clean_up(node: Node, record: SandboxRecord) -> None:
    """After a creation that failed, whose error counts: what cannot go now goes before the name's next use."""
    try:
        await teardown.remove_all(node, record)
    except (KnarrError, OSError) as error:
        _log.warning("a failed creation left something %s", logs.fields(sandbox=record.id, error=error))
    else:
        node.locks.pop(record.id, None)


def cgroup_parent(config: PodSandboxConfig, sandbox: str, root: str) -> str:
    """The pod's cgroup: the kubelet's, or one of ours."""
    wanted = config.linux.cgroup_parent if config.linux else ""
    return wanted if wanted.startswith("/") else f"{root}/pods/{wanted or sandbox}"


def options(config: PodSandboxConfig) -> NamespaceOption:
    """Whose namespaces the pod uses."""
    context = config.linux.security_context if config.linux else None
    return (context.namespace_options if context else None) or NamespaceOption()


def users(node: Node, record: SandboxRecord) -> Users | None:
    """The user namespace of the pod; None for the host's own."""
    mappings = user_namespaces.of_sandbox(record.config)
    return None if mappings is None else Users(mappings, node.places.pin(record.id, "user"))


def new_namespaces(config: PodSandboxConfig) -> tuple[str, ...]:
    """The namespaces that the pod gets for itself. The host's network comes with the host's name."""
    wanted = options(config)
    own: tuple[str, ...] = ()
    if wanted.network is not NamespaceMode.NODE:
        own += ("net", "uts")
    if wanted.ipc is not NamespaceMode.NODE:
        own += ("ipc",)
    if user_namespaces.of_sandbox(config) is not None:
        own += ("user",)
    return own


def sysctls(config: PodSandboxConfig) -> Mapping[str, str]:
    """What to set in the pod's namespaces. Raises Invalid for what would be set for the whole machine."""
    asked = dict(config.linux.sysctls) if config.linux else {}
    own = new_namespaces(config)
    for name in asked:
        namespace = namespace_of(name)
        if not namespace:
            raise Invalid(f"sysctl {name!r} is not in a separate kernel namespace")
        if namespace not in own:
            raise Invalid(f"sysctl {name!r} needs a {namespace} namespace of the pod's own, and it uses the host's")
    return {**_SYSCTLS, **asked} if "net" in own else asked


def host_ports(config: PodSandboxConfig) -> tuple[HostPort, ...]:
    """The ports of the host that the pod asks for."""
    return tuple(
        HostPort(port.protocol.name.lower(), port.container_port, port.host_port, port.host_ip)
        for port in config.port_mappings
        if port.host_port > 0
    )


async def _build(node: Node, record: SandboxRecord) -> SandboxRecord:
    config, places = record.config, node.places
    own = new_namespaces(config)
    hostname = config.hostname or gethostname()
    node.cgroups.create(record.cgroup_parent)
    if config.linux and config.linux.resources:
        node.cgroups.limit(record.cgroup_parent, resources.limits(config.linux.resources))
    failpoint("criserver.sandbox.before_namespaces")
    pins, pods = {kind: places.pin(record.id, kind) for kind in own}, users(node, record)
    if pods is None:
        await namespaces.pin(pins, hostname[:64], sysctls(config))
    else:
        await namespaces.pin_mapped(pins, pods.mappings, hostname[:64], sysctls(config))
    addresses: tuple[IPv4Address, ...] = ()
    if "net" in own:
        failpoint("criserver.sandbox.before_network")
        addresses = (await node.network.attach(record.id, places.pin(record.id, "net"), host_ports(config))).addresses
        record = replace(record, address=str(addresses[0]))
    user_namespaces.open_to(places.sandbox(record.id), pods)
    _write_files(places.sandbox(record.id), config, hostname, addresses)
    if config.log_directory:
        Path(config.log_directory).mkdir(parents=True, exist_ok=True, mode=0o755)
    if options(config).pid is NamespaceMode.POD:
        record = await pause.start(node, record)
    return record


def _write_files(directory: Path, config: PodSandboxConfig, hostname: str, addresses: tuple[IPv4Address, ...]) -> None:
    dns = config.dns_config
    has_dns = dns is not None and (dns.servers or dns.searches or dns.options)
    texts = {
        "hosts": files.hosts(hostname, [str(address) for address in addresses]),
        "hostname": f"{hostname}\n",
        "resolv.conf": files.resolv_conf(dns) if has_dns and dns else resolv_conf.path().read_text(),
    }
    for name, text in texts.items():
        path = directory / name
        path.write_text(text)
        path.chmod(0o644)
    if options(config).ipc is not NamespaceMode.NODE:
        shm = directory / "shm"
        shm.mkdir(exist_ok=True)
        linux.umount(shm)
        flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
        linux.mount("shm", shm, "tmpfs", flags, f"mode=1777,size={SHM_SIZE}")
