"""Puts a CRI server together from a cluster's places and the image store; assembly/node.py calls it."""

from ipaddress import IPv4Network
from pathlib import Path

from knarr.criserver.events import Events
from knarr.criserver.node import Node, Places, RootFileSystems
from knarr.criserver.records import ContainerRecord, Records, SandboxRecord
from knarr.criserver.rootfs import ImageRoots
from knarr.criserver.service import RuntimeServer
from knarr.criserver.streaming import StreamingServer
from knarr.images.image_store import ImageStore
from knarr.network.bridge import BridgeNetwork
from knarr.network.ruleset import Names
from knarr.runtime import apparmor
from knarr.runtime.cgroups import Cgroups
from knarr.runtime.oci_runtime import OciRuntime, find_programs

PRIVATE = {"rootfs": 0o711, "sandboxes": 0o711, "runtime": 0o700}
"""Below the run directory, which others may pass: root file systems with their setuid programs, and configurations
with Secrets in their environment. Containers get these by mount; the root of a pod with a user namespace has to walk to
what it mounts, so each directory of a container or sandbox is closed to all others (user_namespaces.py::open_to)."""


def oci_runtime(run: Path, cgroup: str, volumes: Path | None = None) -> OciRuntime:
    """The runtime below /run/knarr/NAME; one per process. `volumes`: below it, every mount is a pod's."""
    pods = (run / "rootfs", *([volumes] if volumes else ()))
    return OciRuntime(run / "runtime", find_programs(run / "runtime"), Cgroups(), f"{cgroup}/monitors", pods)


def bridge_network(run: Path, names: Names, pods: str) -> BridgeNetwork:
    """The pod network; `set_up` it before the first pod."""
    run.mkdir(parents=True, exist_ok=True, mode=0o711)
    return BridgeNetwork(run / "addresses", names, IPv4Network(pods))


def make_private(run: Path) -> None:
    """The directories of PRIVATE, what lies in them closed first: an older knarr counted on theirs being closed."""
    for part, mode in PRIVATE.items():
        directory = run / part
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for entry in directory.iterdir():
            if not entry.is_symlink() and entry.stat().st_mode & 0o007:
                entry.chmod(0o700)
        directory.chmod(mode)


def runtime_server(
    places: Places,
    runtime: OciRuntime,
    network: BridgeNetwork,
    roots: RootFileSystems | ImageStore,
    armor: apparmor.Kernel | None = None,
) -> tuple[RuntimeServer, StreamingServer]:
    """The server and its streaming half. `await server.recover()` and `await streaming.start()` before use.
    `armor`: what the kernel does about AppArmor; nobody gets a default profile otherwise."""
    make_private(places.run)
    node = Node(
        places=places,
        sandboxes=Records(places.state / "sandboxes", SandboxRecord),
        containers=Records(places.state / "containers", ContainerRecord),
        runtime=runtime,
        network=network,
        roots=ImageRoots(roots) if isinstance(roots, ImageStore) else roots,
        cgroups=Cgroups(),
        events=Events(),
        armor=armor or apparmor.Kernel(),
    )
    streaming = StreamingServer(runtime, runtime)
    return RuntimeServer(node, streaming), streaming
