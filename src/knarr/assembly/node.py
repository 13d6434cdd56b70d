"""The node process: image store, CRI server, registry, builder and kubelet, put together; and its tearing down.

Choices of implementations only; what each part does is its own. `run` never returns. Containers are conmon's children:
ending this process leaves them running, `tear_down` (knarr down) ends them.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from knarr.assembly import activation, pki, pod_runtime, remnants
from knarr.assembly.pod_runtime import PodRuntime
from knarr.assembly.settings import Settings
from knarr.base import tasks
from knarr.base.clock import SystemClock
from knarr.base.errors import Invalid, Unavailable
from knarr.base.logs import fields, log
from knarr.base.tasks import Ready
from knarr.client.http import HttpTransport
from knarr.client.requests import ApiClient
from knarr.criserver import compose
from knarr.criserver.images.service import ImageServer
from knarr.criserver.node import Places
from knarr.criserver.service import RuntimeServer
from knarr.criserver.streaming import StreamingServer
from knarr.images import registries
from knarr.images.image_store import ImageStore
from knarr.images.local_content import LocalContent
from knarr.images.names import Names
from knarr.images.overlay import OverlaySnapshots
from knarr.images.pull import Puller
from knarr.kubelet import authorisation, configuration, kubelet, mounting, node_status, pages
from knarr.kubelet.configuration import KubeletConfiguration
from knarr.kubelet.kubelet import Kubelet
from knarr.kubelet.memory_rules import MemoryRules
from knarr.kubelet.server import KubeletServer
from knarr.kubelet.settings import DECLARED_FEATURES, OWN_STREAMS, KubeletSettings
from knarr.network import ruleset
from knarr.network.bridge import BridgeNetwork
from knarr.nodeapi import compose as nodeapi
from knarr.registry import options
from knarr.registry.service import Registry
from knarr.runtime import apparmor
from knarr.runtime.cgroups import Cgroups
from knarr.runtime.oci_runtime import OciRuntime
from knarr.wire import http_client, strict_yaml, tls
from knarr.wire.http_server import Limits, Server

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Images:
    """The image store of a cluster, opened; there is one owner process at a time."""

    content: LocalContent
    names: Names
    snapshots: OverlaySnapshots
    store: ImageStore


@dataclass(frozen=True, slots=True)
class Machinery:
    """Everything below the kubelet."""

    images: Images
    runtime: OciRuntime
    network: BridgeNetwork
    server: RuntimeServer
    streaming: StreamingServer
    puller: Puller
    image_server: ImageServer


def open_images(settings: Settings) -> Images:
    root = settings.images_dir
    root.mkdir(mode=0o711, parents=True, exist_ok=True)
    content, names, snapshots = LocalContent(root), Names(root / "names.json"), OverlaySnapshots(root)
    return Images(content, names, snapshots, ImageStore(content, names, snapshots))


def registry_domain(settings: Settings) -> str:
    return f"localhost:{settings.registry_port}"


def kubelet_settings(settings: Settings) -> KubeletSettings:
    plain = KubeletSettings(
        node_name=settings.node_name,
        root_dir=settings.kubelet_dir,
        pod_log_dir=settings.pod_log_dir,
        port=settings.kubelet_port,
        cluster_domain=settings.cluster_domain,
        pod_cidr=settings.pod_network,
        cgroup_root=settings.cgroup,
        memory_rules=_memory_rules(Cgroups(), settings.cgroup),
        removes_cgroups=bool(settings.cri),
        backoff=settings.backoff,
        static_pod_dir=settings.static_pod_dir,
        image_dir=settings.images_dir,
        clusters_dir=settings.data_dir.parent,
        subordinate_ids=(Path("/etc/subuid"), Path("/etc/subgid")),
        declared_features=DECLARED_FEATURES if settings.cri else tuple(sorted((*DECLARED_FEATURES, OWN_STREAMS))),
    )
    return configuration.applied(plain, kubelet_configuration(settings.kubelet_config))


def _memory_rules(cgroups: Cgroups, group: str) -> MemoryRules:
    """As upstream, where there is cgroup v2: a container dies whole, and nobody swaps unless the user says so."""
    nobody = 0 if cgroups.bounds_swap() else None
    return MemoryRules(
        is_v2=cgroups.is_v2,
        kills_together=cgroups.is_v2 and cgroups.bounds_memory_of(group),
        swap_capacity=node_status.swap_bytes(),
        swap_bytes=nobody,
    )


def kubelet_configuration(path: str) -> KubeletConfiguration:
    """What the file says; without one, nothing. Raises Invalid."""
    if not path:
        return KubeletConfiguration()
    try:
        return configuration.read(strict_yaml.decode(Path(path).read_bytes()))
    except OSError as error:
        raise Invalid(f"kubelet configuration: {path}: {error.strerror}") from error


@contextlib.asynccontextmanager
async def opened(settings: Settings, kernel: Callable[[], apparmor.Kernel] = apparmor.read) -> AsyncIterator[Machinery]:
    """Images, runtime, network and CRI server, what ran before taken over again; `kernel`: what there is of AppArmor,
    asked aside."""
    images = open_images(settings)
    runtime = compose.oci_runtime(settings.run_dir, settings.cgroup, settings.kubelet_dir)
    network = compose.bridge_network(
        settings.run_dir, ruleset.Names(settings.nft_table, settings.bridge, settings.port), settings.pod_network
    )
    places = Places(settings.criserver_dir, settings.run_dir, settings.cgroup)
    armor, _ = await asyncio.gather(asyncio.to_thread(kernel), network.set_up())
    server, streaming = compose.runtime_server(places, runtime, network, images.store, armor)
    await server.recover()
    await streaming.start()
    client = http_client.Client()
    puller = Puller(images.store, client, registries.read(settings.registries_file))
    image_server = ImageServer(
        images.store, puller, images.snapshots, root=settings.images_dir, own_domain=registry_domain(settings)
    )
    try:
        yield Machinery(images, runtime, network, server, streaming, puller, image_server)
    finally:
        await streaming.close()
        await client.close()
        await server.close()
        runtime.close()


async def run(settings: Settings, ready: Ready) -> None:
    """Be the node: serve registry, CRI and builder, and run the pods that are bound to it."""
    if not pki.is_complete(settings):
        pki.ensure(settings, SystemClock().now())
    async with (
        opened(settings, apparmor.prepared) as machinery,
        _pod_runtime(settings, machinery) as pods,
        _kubelet(settings, pods) as part,
        asyncio.TaskGroup() as group,
    ):
        await tasks.start(group, "registry", lambda told: serve_registry(settings, machinery.images, told))
        await tasks.start(group, "node api", lambda told: serve_node_api(settings, machinery, told))
        if not settings.cri:
            await tasks.start(group, "cri", lambda told: _serve_cri(settings, machinery, told))
        await tasks.start(group, "kubelet server", lambda told: _serve_kubelet(settings, pods, part, told))
        await tasks.start(group, "kubelet", part.run)
        ready()


async def serve_registry(settings: Settings, images: Images, ready: Ready, told: options.Options | None = None) -> None:
    """The OCI registry on localhost; `told` stands instead of what its file says."""
    told = told or options.read(settings.registry_file)
    domain = registry_domain(settings)
    gates = options.gates(told, images.content, images.names, domain, settings.registries_file)
    registry = Registry(images.content, images.names, domain, gates)
    server = Server(registry.handler, limits=Limits(body_bytes=None))
    try:
        await server.listen_tcp(told.listen, settings.registry_port, tls=options.tls_context(told))
        ready()
        await asyncio.get_running_loop().create_future()
    finally:
        await registry.end()
        await server.close(grace_seconds=1.0)


async def serve_node_api(settings: Settings, machinery: Machinery, ready: Ready) -> None:
    """Builds and images for the CLI, on node.sock."""
    images = machinery.images
    places = nodeapi.Places(
        state_dir=settings.data_dir,
        run_dir=settings.run_dir,
        cgroup=settings.cgroup,
        registry_domain=registry_domain(settings),
        registries_file=settings.registries_file,
        owner_uid=settings.owner_uid,
    )
    client = http_client.Client()
    try:
        service = nodeapi.node_service(
            images.store, images.snapshots, machinery.runtime, machinery.network, client=client, places=places
        )
        await nodeapi.serve(service, settings.node_socket, ready)
    finally:
        await client.close()


async def _serve_cri(settings: Settings, machinery: Machinery, ready: Ready) -> None:
    """The CRI on its socket: gRPC is imported when somebody connects."""
    kept = []  # a server that nobody refers to is collected, and with it its socket

    async def start(path: Path) -> None:
        from knarr.criserver import grpc  # 27 MB, see activation.py

        kept.append(await grpc.start(path, machinery.server, machinery.image_server))

    await activation.serve(settings.cri_socket, start, ready)


@contextlib.asynccontextmanager
async def _pod_runtime(settings: Settings, machinery: Machinery) -> AsyncIterator[PodRuntime]:
    """Who runs the pods: the runtime of `--cri`, or ours."""
    if not settings.cri:
        yield PodRuntime(machinery.server, machinery.image_server, machinery.streaming.answer)
        return
    async with pod_runtime.foreign(settings.cri) as pods:
        yield pods


@contextlib.asynccontextmanager
async def _kubelet(settings: Settings, pods: PodRuntime) -> AsyncIterator[Kubelet]:
    """The kubelet with its client of the API server, ready to run."""
    pki_dir = settings.pki_dir
    context = tls.client_context(
        authority=pki_dir / "ca.crt", certificate=pki_dir / "kubelet.crt", key=pki_dir / "kubelet.key"
    )
    transport = HttpTransport(http_client.Target(LOOPBACK, settings.port, context))
    client = ApiClient(transport, "kubelet")
    try:
        yield Kubelet(client, pods.runtime, pods.images, kubelet_settings(settings), SystemClock())
    finally:
        await transport.close()


async def _serve_kubelet(settings: Settings, pods: PodRuntime, part: Kubelet, ready: Ready) -> None:
    """The kubelet's HTTPS port: exec, attach, port-forward, logs and statistics for the API server."""
    pki_dir = settings.pki_dir
    context = tls.server_context(
        pki_dir / "kubelet-server.crt",
        pki_dir / "kubelet-server.key",
        client_authority=pki_dir / "ca.crt",  # who comes without a certificate is told 401
    )
    server = KubeletServer(
        pods.runtime,
        settings.pod_log_dir,
        part.ends,
        pages=pages.pages(part, SystemClock()),
        is_spdy_only=bool(settings.cri),
        streaming=pods.streaming,
        previous=part.previous_container,
        guard=authorisation.Delegated(part.client, SystemClock(), settings.node_name),
    )
    await server.run(ready, host=LOOPBACK, port=settings.kubelet_port, context=context)


def tear_down(settings: Settings, grace: float) -> None:
    """End every pod (with at most that many seconds of grace), and remove mounts, links and rules. Objects stay."""
    asyncio.run(_tear_down(settings, grace))


async def _tear_down(settings: Settings, grace: float) -> None:
    if settings.cri:
        await _end_foreign(settings, grace)
    async with opened(settings) as machinery:
        await pod_runtime.end_all(machinery.server, grace)
        await machinery.network.tear_down()
    kubelet.unmount_all(kubelet_settings(settings))
    for point in mounting.mounts_below(settings.run_dir):
        # Nothing of ours should be left; what a crash left behind would keep the directory from being removed.
        log("node").warning("%s", fields(event="tear down", unmounted=point))
        mounting.unmount(point)
    if not remnants.remove_group(Cgroups(), settings.cgroup):
        log("node").warning("%s", fields(event="tear down", cgroup=settings.cgroup, stays="somebody is in it"))


async def _end_foreign(settings: Settings, grace: float) -> None:
    """End the pods on the foreign runtime; one that has gone itself keeps nothing else from being removed."""
    try:
        async with pod_runtime.foreign(settings.cri) as pods:
            await pod_runtime.end_all(pods.runtime, grace)
    except Unavailable as error:
        log("node").warning("%s", fields(event="tear down", cri=settings.cri, error=error))
