"""Image volumes: the file system of an image, mounted read-only into a container beside its own.

Each is a root file system like a container's, kept below the container's directory and removed with it.
"""

from pathlib import Path
from typing import Final

from msgspec.structs import replace

from knarr.base.errors import Invalid, NotFound
from knarr.base.ids import ContainerId
from knarr.cri.messages.config import Mount
from knarr.criserver.containers import guard
from knarr.criserver.node import Node
from knarr.criserver.user_namespaces import Users

_VOLUME: Final = "-volume-"


async def mounted(node: Node, container: ContainerId, mount: Mount, users: Users | None) -> tuple[Mount, str]:
    """The mount with the image's file system, or a directory in it, as its place on the host; and the image's id.

    Raises Invalid for a mount that could not be one of an image.
    """
    assert mount.image is not None
    if mount.host_path:
        raise Invalid("a mount has an image or a host path, not both")
    if not mount.readonly:
        raise Invalid(f"mount {mount.container_path}: an image volume must be read-only")
    held = _directory(node, container)
    held.mkdir(parents=True, exist_ok=True)
    held.chmod(0o711)
    number = len(list(held.iterdir()))
    root = await node.roots.prepare(_key(container, number), mount.image.image, held / str(number), users)
    inside = guard.resolve(root.path, "/" + mount.image_sub_path)
    place = root.path / inside.lstrip("/")
    if not place.exists():
        raise NotFound(f"image volume {mount.image.image}: there is no {mount.image_sub_path!r} in it")
    return replace(mount, host_path=str(place)), root.image_id


async def remove(node: Node, container: ContainerId) -> None:
    """Unmount and remove all of a container's."""
    held = _directory(node, container)
    for place in sorted(held.glob("[0-9]*")) if held.is_dir() else ():
        await node.roots.remove(_key(container, int(place.stem)), place)


def _directory(node: Node, container: ContainerId) -> Path:
    return node.places.container(container) / "volumes"


def owner(held: ContainerId) -> str:
    """The container that a root file system belongs to: its own, or one of its image volumes."""
    return held.partition(_VOLUME)[0]


def _key(container: ContainerId, number: int) -> ContainerId:
    return ContainerId(f"{container}{_VOLUME}{number}")
