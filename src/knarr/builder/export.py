"""A built image as a stream: an archive (OCI layout, with docker's manifest.json for one platform), or its file tree.
A build cache is an archive, too.

`knarr build --output` writes these to files. Images of an index are all in the archive; of the tree each platform has
a directory of its own where there are several.
"""

import json
import tarfile
from collections.abc import AsyncIterator, Iterator, Sequence

from knarr.base import tasks
from knarr.base.errors import NotFound
from knarr.builder.layering import Layering
from knarr.builder.output import Filesystem
from knarr.images import layer_diff
from knarr.images.content import read
from knarr.images.image_store import ImageStore
from knarr.images.ingestion import file_chunks
from knarr.images.layer_diff import PackEntry
from knarr.images.tar_writer import header_bytes
from knarr.oci import image_config, manifest
from knarr.oci.digest import Digest
from knarr.oci.manifest import DOCKER_CONFIG, OCI_CONFIG, Descriptor, Index, Manifest
from knarr.oci.platform import Platform
from knarr.oci.reference import Reference

_PIECE = 1 << 20
_IMAGE_TYPES = (OCI_CONFIG, DOCKER_CONFIG)
_END = b"\0" * (2 * tarfile.BLOCKSIZE)


async def archive(images: ImageStore, digest: Digest, names: Sequence[Reference]) -> AsyncIterator[bytes]:
    """The archive. Raises NotFound before the first byte."""
    parsed = manifest.parse(read(images.content, digest, manifest.SIZE_MAX))
    blobs = _blobs(images, digest)
    size = images.content.info(digest).size
    described = Descriptor(media_type=manifest.type_of(parsed), digest=digest, size=size)
    entries = tuple(_named(described, name) for name in names) or (described,)
    texts = [
        ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
        ("index.json", manifest.encode(Index(schema_version=2, media_type=manifest.OCI_INDEX, manifests=entries))),
    ]
    own = [one for one, _ in _images(images, digest)]
    if len(own) == 1 and own[0].config.media_type in _IMAGE_TYPES:
        texts.append(("manifest.json", json.dumps([_docker_entry(own[0], names)]).encode()))
    for path, body in texts:
        yield _header(path, len(body)) + body + _padding(len(body))
    for blob in sorted(blobs):
        length = images.content.info(blob).size
        yield _header(_path(blob), length)
        async for chunk in file_chunks(images.content.path(blob)):
            yield chunk
        yield _padding(length)
    yield _END


async def tree(images: ImageStore, layering: Layering, digest: Digest) -> AsyncIterator[bytes]:
    """The merged file tree as one tar."""
    found = _images(images, digest)
    for parsed, platform in found:
        body = read(images.content, parsed.config.digest, image_config.SIZE_MAX)
        diff_ids = image_config.parse(body).rootfs.diff_ids
        prefix = str(platform).replace("/", "_") if len(found) > 1 else ""
        if prefix:
            header = tarfile.TarInfo(prefix)
            header.type, header.mode = tarfile.DIRTYPE, 0o755
            yield header_bytes(header)
        async with layering.shown(Filesystem(parsed.layers, diff_ids)) as root:
            pieces = _pieces(layer_diff.tree_entries(root), prefix)
            while piece := await tasks.in_thread(next, pieces, b""):
                yield piece
    yield _END


def _pieces(entries: Iterator[PackEntry], prefix: str) -> Iterator[bytes]:
    """Headers and content, small files together, large ones in pieces."""
    batch = bytearray()
    for entry in entries:
        header = entry.header
        if prefix:
            header.name = f"{prefix}/{header.name}"
            header.linkname = f"{prefix}/{header.linkname}" if header.islnk() else header.linkname
        batch += header_bytes(header)
        for piece in _content(entry):
            batch += piece
            if len(batch) >= _PIECE:
                yield bytes(batch)
                batch.clear()
    yield bytes(batch)


def _content(entry: PackEntry) -> Iterator[bytes]:
    """The file's bytes, as many as the header says, and the padding."""
    left = entry.header.size
    if not left:
        return
    with open(entry.source, "rb", buffering=0) as source:
        while left and (piece := source.read(min(left, _PIECE))):
            left -= len(piece)
            yield piece
    yield b"\0" * left + _padding(entry.header.size)


def _images(images: ImageStore, digest: Digest) -> list[tuple[Manifest, Platform | None]]:
    """The images that a manifest or index means, attestations left out."""
    parsed = manifest.parse(read(images.content, digest, manifest.SIZE_MAX))
    if isinstance(parsed, Manifest):
        return [(parsed, None)]
    found = []
    for entry in parsed.manifests:
        inner = manifest.parse(read(images.content, entry.digest, manifest.SIZE_MAX))
        is_image = entry.platform is None or entry.platform.os != "unknown"
        if is_image and isinstance(inner, Manifest) and inner.config.media_type in _IMAGE_TYPES:
            found.append((inner, entry.platform))
    if not found:
        raise NotFound(f"{digest} holds no image")
    return found


def _blobs(images: ImageStore, digest: Digest) -> set[Digest]:
    """All blobs of a manifest or index, itself included. Raises NotFound."""
    parsed = manifest.parse(read(images.content, digest, manifest.SIZE_MAX))
    if isinstance(parsed, Index):
        return {digest}.union(*(_blobs(images, entry.digest) for entry in parsed.manifests))
    parts = {part.digest for part in (parsed.config, *parsed.layers)}
    for part in parts:
        images.content.info(part)
    return {digest, *parts}


def _named(descriptor: Descriptor, name: Reference) -> Descriptor:
    annotations = {"io.containerd.image.name": str(name), "org.opencontainers.image.ref.name": str(name)}
    return Descriptor(
        media_type=descriptor.media_type, digest=descriptor.digest, size=descriptor.size, annotations=annotations
    )


def _docker_entry(parsed: Manifest, names: Sequence[Reference]) -> dict[str, object]:
    return {
        "Config": _path(parsed.config.digest),
        "RepoTags": [name.familiar for name in names if name.tag],
        "Layers": [_path(layer.digest) for layer in parsed.layers],
    }


def _path(digest: Digest) -> str:
    return "blobs/" + digest.replace(":", "/")


def _header(path: str, size: int) -> bytes:
    header = tarfile.TarInfo(path)
    header.size, header.mode = size, 0o644
    return header_bytes(header)


def _padding(size: int) -> bytes:
    return b"\0" * (-size % tarfile.BLOCKSIZE)
