"""Root file systems from images: a writable snapshot on the image's, mounted for one container."""

import asyncio
from pathlib import Path
from typing import Final

from knarr.base.errors import AlreadyExists, NotFound
from knarr.base.ids import ContainerId
from knarr.criserver.node import Root
from knarr.images import mounting
from knarr.images.image_store import ImageStore

_PREFIX: Final = "container/"


def snapshot_key(container: ContainerId) -> str:
    return f"{_PREFIX}{container}"


class ImageRoots:
    """RootFileSystems over the image store."""

    def __init__(self, images: ImageStore) -> None:
        self._images = images

    async def prepare(self, container: ContainerId, image: str, target: Path) -> Root:
        found = self._images.resolve(image)
        parent = await self._images.unpacked(found)
        key = snapshot_key(container)
        try:
            mounts = self._images.snapshots.prepare(key, parent)
        except AlreadyExists:
            mounts = self._images.snapshots.mounts(key)
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        mounting.mount(mounts, target)
        return Root(target, str(found.id), str(found.id), found.config.config)

    async def remove(self, container: ContainerId, target: Path) -> None:
        # The kernel takes milliseconds to let a mount go.
        await asyncio.to_thread(self._remove, container, target)

    def _remove(self, container: ContainerId, target: Path) -> None:
        mounting.unmount(target)
        if target.is_dir():
            target.rmdir()
        self._images.snapshots.remove(snapshot_key(container))

    def usage(self, container: ContainerId) -> tuple[int, int]:
        try:
            return self._images.snapshots.usage(snapshot_key(container))
        except NotFound:
            return 0, 0

    def held(self) -> list[ContainerId]:
        keys = self._images.snapshots.keys()
        return [ContainerId(key.removeprefix(_PREFIX)) for key in keys if key.startswith(_PREFIX)]


class DirectoryRoots:
    """Root file systems that are plain directories: `images` maps a name to one. For tests of the server alone; what
    containers write stays in the directory."""

    def __init__(self, images: dict[str, Root]) -> None:
        self._images = images

    async def prepare(self, container: ContainerId, image: str, target: Path) -> Root:
        try:
            return self._images[image]
        except KeyError:
            raise NotFound(f"image {image} is not here") from None

    async def remove(self, container: ContainerId, target: Path) -> None:
        return None

    def usage(self, container: ContainerId) -> tuple[int, int]:
        return 0, 0

    def held(self) -> list[ContainerId]:
        return []
