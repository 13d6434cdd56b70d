"""ListImages and ImageStatus: what is here."""

import msgspec

from knarr.cri.messages.image import (
    Image,
    ImageStatusRequest,
    ImageStatusResponse,
    ListImagesRequest,
    ListImagesResponse,
)
from knarr.criserver.images.describe import describe
from knarr.images.image_store import Image as StoredImage
from knarr.images.image_store import ImageStore
from knarr.images.names import Name
from knarr.oci.digest import Digest


def list_images(store: ImageStore, request: ListImagesRequest) -> ListImagesResponse:
    """Every image once, with all its names; one image when the filter names it."""
    wanted = request.filter.image.image if request.filter and request.filter.image else ""
    if wanted:
        found = store.find(wanted)
        return ListImagesResponse(images=() if found is None else (_described(store, found),))
    return ListImagesResponse(images=tuple(describe(image, names) for image, names in by_id(store).values()))


def image_status(store: ImageStore, request: ImageStatusRequest) -> ImageStatusResponse:
    """One image; no image, and no error, when it is not here. Verbose adds how its name came to be (`origin`)."""
    text = request.image.image if request.image else ""
    found = store.find(text) if text else None
    if found is None:
        return ImageStatusResponse()
    return ImageStatusResponse(
        image=_described(store, found), info=_info(store, found, text) if request.verbose else {}
    )


def by_id(store: ImageStore) -> dict[Digest, tuple[StoredImage, list[Name]]]:
    """Images by their id, with the names that lead to each."""
    images: dict[Digest, tuple[StoredImage, list[Name]]] = {}
    for name, image in store.all_images():
        images.setdefault(image.id, (image, []))[1].append(name)
    return images


def _described(store: ImageStore, image: StoredImage) -> Image:
    return describe(image, by_id(store).get(image.id, (image, []))[1])


def _info(store: ImageStore, image: StoredImage, text: str) -> dict[str, str]:
    name = store.find_name(text) if ":" not in text[:7] else None
    origin = {"origin": name.origin} if name is not None else {}
    return {**origin, "info": msgspec.json.encode({"chainID": image.chain_id, "imageSpec": image.config}).decode()}
