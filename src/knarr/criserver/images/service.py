"""ImageServer: the CRI's ImageService over this node's image store. One RPC's work is in one file beside this."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from knarr.base.errors import NotFound
from knarr.cri.messages.image import (
    ImageFsInfoRequest,
    ImageFsInfoResponse,
    ImageStatusRequest,
    ImageStatusResponse,
    ListImagesRequest,
    ListImagesResponse,
    PullImageRequest,
    PullImageResponse,
    RemoveImageRequest,
    RemoveImageResponse,
    StreamImagesRequest,
    StreamImagesResponse,
)
from knarr.criserver.images import listing, pull
from knarr.criserver.images.usage import FileSystemUsage
from knarr.images.gc import SnapshotTree
from knarr.images.image_store import ImageStore
from knarr.images.pull import Puller


class ImageServer:
    """Implements cri.protocol.ImageService. `own_domain` is the node's own registry, `localhost:PORT`."""

    def __init__(
        self, store: ImageStore, puller: Puller, tree: SnapshotTree, *, root: Path, own_domain: str = "localhost:5000"
    ) -> None:
        self._store = store
        self._puller = puller
        self._tree = tree
        self._own_domain = own_domain
        self._usage = FileSystemUsage(store.content, tree, root)

    async def list_images(self, request: ListImagesRequest) -> ListImagesResponse:
        return listing.list_images(self._store, request)

    async def image_status(self, request: ImageStatusRequest) -> ImageStatusResponse:
        return listing.image_status(self._store, request)

    async def pull_image(self, request: PullImageRequest) -> PullImageResponse:
        return await pull.pull_image(self._store, self._puller, self._own_domain, request)

    async def remove_image(self, request: RemoveImageRequest) -> RemoveImageResponse:
        """Forget all names of the image and free what nothing needs; an image that is not here is no error."""
        text = request.image.image if request.image else ""
        try:
            self._store.remove(text, all_names=True)
        except NotFound:
            return RemoveImageResponse()
        await self._store.collect(self._tree)
        return RemoveImageResponse()

    async def image_fs_info(self, request: ImageFsInfoRequest) -> ImageFsInfoResponse:
        return await asyncio.to_thread(self._usage.measure)

    async def stream_images(self, request: StreamImagesRequest) -> AsyncIterator[StreamImagesResponse]:
        found = listing.list_images(self._store, ListImagesRequest(filter=request.filter))
        yield StreamImagesResponse(images=found.images)
