"""Store what a build made: configuration and manifest for each platform, an index where there are several, the names.

Asked for, a provenance statement goes beside the image, as an attestation manifest in the index. Times come from the
steps' records (output.py), so that a build from the cache gives the same digest again.
"""

from collections.abc import Sequence

import msgspec

from knarr.base.failpoints import failpoint
from knarr.builder import cache_exchange, cache_keys, output, provenance
from knarr.builder.cache import Record
from knarr.builder.output import StageResult
from knarr.builder.request import BuildRequest, Built
from knarr.builder.tools import Tools
from knarr.images.content import add
from knarr.oci import image_config, manifest
from knarr.oci.digest import Digest
from knarr.oci.manifest import Descriptor, Index
from knarr.oci.platform import Platform


def publish(
    tools: Tools,
    request: BuildRequest,
    results: Sequence[tuple[Platform, StageResult]],
    now: str,
    used: Sequence[tuple[bool, Record]],
) -> Built:
    """`used` are the steps' records, True for those of the image's own stage."""
    failpoint("builder.before_image")
    extra = dict(request.publication.annotations)
    if request.publication.has_inline_cache:
        extra[cache_exchange.INLINE] = cache_exchange.annotation([record for is_own, record in used if is_own])
    entries = [_image(tools, request, platform, result, now=now, annotations=extra) for platform, result in results]
    first = entries[0]
    digest = first.digest
    publication = request.publication
    if len(entries) > 1 or publication.is_index or publication.provenance or publication.index_annotations:
        digest = _index(tools, request, entries, now)
    for reference in request.names:
        name = tools.images.names.find(reference)
        if name is None or name.digest != digest or name.origin != "built":
            tools.images.add(reference, digest, "built")
    for reference, is_max in request.cache_to:
        cache_exchange.put(tools.images, reference, [record for is_own, record in used if is_own or is_max])
    return Built(digest, first.config, request.names)


class _Entry(msgspec.Struct, frozen=True):
    descriptor: Descriptor
    config: Digest

    @property
    def digest(self) -> Digest:
        return self.descriptor.digest


def _image(
    tools: Tools,
    request: BuildRequest,
    platform: Platform,
    result: StageResult,
    *,
    now: str,
    annotations: dict[str, str],
) -> _Entry:
    images = tools.images
    labels = dict(request.labels)
    created = _created(tools, request, output.image_config(result, platform, labels, ""), now)
    config = output.image_config(result, platform, labels, created, is_limited=request.epoch is not None)
    body = image_config.encode(config)
    blob = add(images.content, body)
    is_docker = request.publication.is_docker
    kind = manifest.DOCKER_CONFIG if is_docker else manifest.OCI_CONFIG
    described = Descriptor(media_type=kind, digest=blob.digest, size=blob.size)
    parsed = output.image_manifest(described, result.filesystem.layers, annotations, is_docker=is_docker)
    digest = images.put(parsed)
    size = len(manifest.encode(parsed))
    descriptor = Descriptor(media_type=parsed.media_type, digest=digest, size=size, platform=platform)
    return _Entry(descriptor, blob.digest)


def _index(tools: Tools, request: BuildRequest, entries: Sequence[_Entry], now: str) -> Digest:
    images = tools.images
    described = [entry.descriptor for entry in entries]
    if request.publication.provenance:
        described += [provenance.attestation(images, request, entry.descriptor, now) for entry in entries]
    kind = manifest.DOCKER_INDEX if request.publication.is_docker else manifest.OCI_INDEX
    annotations = dict(request.publication.index_annotations)
    return images.put(Index(schema_version=2, media_type=kind, manifests=tuple(described), annotations=annotations))


def _created(tools: Tools, request: BuildRequest, plain: image_config.ImageConfig, now: str) -> str:
    """One time for the same result, kept, so that the same build gives the same digest."""
    key = cache_keys.key_of("created", image_config.encode(plain).decode(), request.epoch)
    record = tools.cache.find(key)
    if record is None:
        record = Record(key=key, created=now)
        tools.cache.put(record)
    return record.created
