"""Where `--cache-from` finds a cache: an exported one or one inside an image, here or in a registry.

Only the list of records is read at once; a layer is fetched when a step wants it. The format is builder/cache_exchange.
"""

from knarr.base.errors import KnarrError, NotFound
from knarr.builder import cache_exchange
from knarr.builder.cache_exchange import Found
from knarr.images.content import read
from knarr.images.credentials import Credentials
from knarr.images.image_store import ImageStore
from knarr.images.pull import Puller
from knarr.oci import manifest
from knarr.oci.manifest import Descriptor, Index, Manifest
from knarr.oci.reference import Reference


async def find(puller: Puller, images: ImageStore, reference: Reference, credentials: Credentials | None) -> Found:
    """The cache under this name. Raises NotFound where there is none, and what the registry says."""

    async def fetch(part: Descriptor) -> None:
        if not images.content.touch(part.digest):
            await puller.part(reference, part, credentials)

    parsed = _local(images, reference) or await puller.manifest_of(reference, credentials)
    if parsed.config.media_type == cache_exchange.CONFIG_TYPE:
        await fetch(parsed.config)
        return Found(read(images.content, parsed.config.digest, cache_exchange.LIST_MAX), fetch)
    inline = parsed.annotations.get(cache_exchange.INLINE)
    if inline is None:
        raise NotFound("the image holds no build cache")
    return Found(cache_exchange.of_annotation(inline), fetch)


def _local(images: ImageStore, reference: Reference) -> Manifest | None:
    """The manifest that the name means on this machine, where it was made here."""
    name = images.names.find(reference)
    if name is None or not name.is_own:
        return None
    try:
        parsed = manifest.parse(read(images.content, name.digest, manifest.SIZE_MAX))
        if isinstance(parsed, Index):
            chosen = manifest.select(parsed, images.platform)
            parsed = manifest.parse(read(images.content, chosen.digest, manifest.SIZE_MAX))
    except KnarrError:
        return None
    return parsed if isinstance(parsed, Manifest) else None
