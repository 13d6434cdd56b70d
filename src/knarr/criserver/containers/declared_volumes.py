"""The volumes that an image declares (VOLUME): writable in a container whose root file system is read-only.

Each is the directory of the root itself, mounted once more: its content, owners and modes are the image's, and it goes
with the container. In a writable root the directory needs nothing. What the pod or its sandbox mounts in the same place
wins. A volume is the image's wish, not the pod's: one that cannot be is left out.
"""

import posixpath
from collections.abc import Collection, Iterator

from knarr.base.errors import Invalid
from knarr.cri.messages.config import ContainerConfig, Mount
from knarr.criserver.containers import guard, settings
from knarr.criserver.node import Root
from knarr.criserver.user_namespaces import Users


def mounts(config: ContainerConfig, root: Root, taken: Collection[str], pods: Users | None) -> tuple[Mount, ...]:
    """Those whose directory is there or can be made."""
    if not settings.security(config).readonly_rootfs:
        return ()
    owner = (pods.mappings.uid(0), pods.mappings.gid(0)) if pods else (0, 0)
    found = []
    for target in sorted({*_targets(root)} - {*taken, "/"}):
        try:
            guard.make_directory(root.path, target, *owner)
        except Invalid:  # a file lies in the way
            continue
        found.append(Mount(container_path=target, host_path=str(root.path / target.lstrip("/"))))
    return tuple(found)


def _targets(root: Root) -> Iterator[str]:
    """Where the volumes come to lie; not those in a place where nothing may be mounted."""
    for path in root.config.volumes:
        try:
            target = guard.resolve(root.path, posixpath.normpath(f"/{path}"))
            guard.check_target(target, is_privileged=False)
        except Invalid:
            continue
        yield target
