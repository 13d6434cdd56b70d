"""Make layers: a writable snapshot on some layers, mounted, changed, packed and committed under its chain id.

Whatever fails in between leaves no mount and no snapshot. Packing reads and hashes on a worker thread.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from knarr.base import tasks
from knarr.base.errors import AlreadyExists
from knarr.base.failpoints import failpoint
from knarr.base.ids import hex_id
from knarr.builder.output import Filesystem
from knarr.images import layer_diff, mounting, unpack
from knarr.images.image_store import ImageStore
from knarr.images.layer_diff import Layer
from knarr.oci.image_config import chain_id

SNAPSHOT_PREFIX = "build-"


@dataclass(slots=True)
class Draft:
    """A mounted file system being changed at `root`. `layer` is set by `commit`."""

    root: Path
    key: str
    base: Filesystem
    layer: Layer | None = field(default=None)


class Layering:
    """Snapshots for steps, below a directory for mount points."""

    def __init__(self, images: ImageStore, run_dir: Path) -> None:
        self._images = images
        self._run_dir = run_dir
        self._unpacking = asyncio.Lock()

    async def chain(self, base: Filesystem) -> str:
        """The committed snapshot with these layers, unpacked where it is missing."""
        chain = chain_id(base.diff_ids)
        if chain and not self._images.snapshots.has(chain):
            async with self._unpacking:
                await tasks.in_thread(
                    unpack.unpack_layers, self._images.content, self._images.snapshots, base.layers, base.diff_ids
                )
        return chain

    @contextlib.asynccontextmanager
    async def draft(self, base: Filesystem) -> AsyncIterator[Draft]:
        """A writable file system on the base, mounted; `commit` keeps it, else it is thrown away."""
        chain = await self.chain(base)
        identifier = hex_id()[:32]
        key = SNAPSHOT_PREFIX + identifier
        root = self._run_dir / f"root-{identifier}"
        root.mkdir(parents=True, mode=0o700)
        try:
            mounts = self._images.snapshots.prepare(key, chain)
            mounting.mount(mounts, root)
            yield Draft(root, key, base)
        finally:
            mounting.unmount(root)
            with contextlib.suppress(OSError):
                root.rmdir()
            await asyncio.shield(asyncio.to_thread(self._images.snapshots.remove, key))

    @contextlib.asynccontextmanager
    async def shown(self, base: Filesystem) -> AsyncIterator[Path]:
        """The file system of the layers, mounted to be read."""
        chain = await self.chain(base)
        root = self._run_dir / f"view-{hex_id()[:32]}"
        root.mkdir(parents=True, mode=0o700)
        try:
            if chain:
                mounting.mount(self._images.snapshots.mounts(chain), root)
            yield root
        finally:
            mounting.unmount(root)
            with contextlib.suppress(OSError):
                root.rmdir()

    async def commit(self, draft: Draft, *, mtime_max: int | None, sets_times: bool = False) -> Layer:
        """Pack what the draft adds; the snapshot is from now on the file system with that layer.

        No file is later than `mtime_max`; with `sets_times` each has exactly that time.
        """
        mounting.unmount(draft.root)
        snapshots = self._images.snapshots
        upper = snapshots.upper(draft.key)
        layer = await tasks.in_thread(
            layer_diff.pack, upper, self._images.content, mtime_max=mtime_max, sets_times=sets_times
        )
        failpoint("builder.before_commit")
        if not layer.is_empty and mtime_max is None:
            with contextlib.suppress(AlreadyExists):
                snapshots.commit(draft.key, chain_id([*draft.base.diff_ids, layer.diff_id]))
        return layer
