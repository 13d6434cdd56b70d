"""The volumes that an image declares (VOLUME): writable in a container whose root file system is read-only.

Each is the directory of the root itself, mounted once more: its content, owners and modes are the image's, and it goes
with the container. In a writable root the directory needs nothing. What the pod mounts in the same place wins.
"""

from collections.abc import Iterable

from knarr.cri.messages.config import ContainerConfig, Mount
from knarr.criserver.containers import guard, settings
from knarr.criserver.node import Root
from knarr.criserver.user_namespaces import Users


def mounts(config: ContainerConfig, root: Root, taken: Iterable[str], pods: Users | None) -> tuple[Mount, ...]:
    """Raises Invalid for a volume in a place where nothing may be mounted."""
    if not settings.security(config).readonly_rootfs:
        return ()
    targets = {guard.resolve(root.path, path) for path in root.config.volumes} - {*taken, "/"}
    return tuple(_mount(root, target, pods) for target in sorted(targets) if _is_possible(root, target))


def _is_possible(root: Root, target: str) -> bool:
    guard.check_target(target, is_privileged=False)
    place = root.path / target.lstrip("/")
    return place.is_dir() or not place.exists()


def _mount(root: Root, target: str, pods: Users | None) -> Mount:
    owner = (pods.mappings.uid(0), pods.mappings.gid(0)) if pods else (0, 0)
    guard.make_directory(root.path, target, *owner)
    return Mount(container_path=target, host_path=str(root.path / target.lstrip("/")))
