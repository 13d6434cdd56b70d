"""Root file systems from images: a writable snapshot on the image's, mounted for one container."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from knarr.base.errors import AlreadyExists, NotFound
from knarr.base.ids import ContainerId
from knarr.criserver import user_namespaces
from knarr.criserver.node import Root
from knarr.criserver.user_namespaces import Users
from knarr.images import mounting
from knarr.images.image_store import ImageStore
from knarr.oci.mount import Mount

_PREFIX: Final = "container/"


def snapshot_key(container: ContainerId) -> str:
    return f"{_PREFIX}{container}"


class ImageRoots:
    """RootFileSystems over the image store."""

    def __init__(self, images: ImageStore) -> None:
        self._images = images

    async def prepare(self, container: ContainerId, image: str, target: Path, users: Users | None) -> Root:
        found = self._images.resolve(image)
        parent = await self._images.unpacked(found)
        key = snapshot_key(container)
        try:
            mounts = self._images.snapshots.prepare(key, parent)
        except AlreadyExists:
            mounts = self._images.snapshots.mounts(key)
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        if users is None:
            mounting.mount(mounts, target)
        else:
            user_namespaces.own(self._images.snapshots.upper(key), users)
            _mount_mapped(mounts, target, self._images.snapshots.root, users)
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

    async def prepare(self, container: ContainerId, image: str, target: Path, users: Users | None) -> Root:
        if image not in self._images:
            raise NotFound(f"image {image} is not here")
        root = self._images[image]
        return root if users is None else replace(root, path=_mapped_directory(root.path, target, users))

    async def remove(self, container: ContainerId, target: Path) -> None:
        mounting.unmount(target)

    def usage(self, container: ContainerId) -> tuple[int, int]:
        return 0, 0

    def held(self) -> list[ContainerId]:
        return []


def _mount_mapped(mounts: Sequence[Mount], target: Path, layers: Path, users: Users) -> None:
    """Mount an overlay whose lower layers, all below the directory `layers`, show the pod's ids."""
    place = target.with_name(f"{target.name}.layers")
    with user_namespaces.shown(layers, place, users):
        mounting.mount([replace(each, options=_moved(each.options, layers, place)) for each in mounts], target)


def _moved(options: Sequence[str], before: Path, after: Path) -> tuple[str, ...]:
    """The lower layers where they are shown."""
    word = "lowerdir="
    return tuple(
        word + ":".join(str(after / os.path.relpath(lower, before)) for lower in option.removeprefix(word).split(":"))
        if option.startswith(word)
        else option
        for option in options
    )


def _mapped_directory(directory: Path, target: Path, users: Users) -> Path:
    """A writable view of the directory with the pod's ids; what is written stays beside `target`."""
    upper, work = target.with_name("upper"), target.with_name("work")
    for path in (target, upper, work):
        path.mkdir(parents=True, exist_ok=True)
    user_namespaces.own(upper, users)
    options = (f"lowerdir={directory}", f"upperdir={upper}", f"workdir={work}")
    _mount_mapped((Mount("overlay", "overlay", options),), target, directory, users)
    return target
