"""Images as one tar file: save writes an OCI layout that docker and podman load too; load reads both kinds.

The archive holds `oci-layout`, `index.json` and `blobs/` (OCI image specification, image-layout.md) and beside them
docker's `manifest.json`, which names the same blobs. Loading checks each blob's digest; names are kept as given.
Layers of a docker archive are plain tars and stay so.
"""

import json
import posixpath
import re
import tarfile
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from knarr.base import tasks
from knarr.base.errors import Invalid, TooLarge
from knarr.images.compression import PlainReader
from knarr.images.content import BlobInfo, ContentStore, read
from knarr.images.image_store import Image, ImageStore
from knarr.images.ingestion import file_chunks
from knarr.images.names import Name
from knarr.images.tar_reader import Entry, TarReader
from knarr.images.tar_writer import header_bytes
from knarr.oci import digest as digests
from knarr.oci import image_config, manifest
from knarr.oci import reference as references
from knarr.oci.digest import Digest
from knarr.oci.manifest import Descriptor, Index, Manifest
from knarr.oci.reference import Reference

_ENTRIES_MAX = 100_000
_PIECE = 1 << 20
_BLOB = re.compile(r"blobs/(sha256|sha512)/([0-9a-f]+)")
_CONTAINERD_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"
_SYMBOLIC_LINKS_MAX = 8
UNNAMED = "docker.io/library/loaded"
"""The repository of images that an archive gives no name."""


async def save(store: ImageStore, texts: Sequence[str]) -> AsyncIterator[bytes]:
    """The archive of these images as a stream. Raises NotFound before the first byte."""
    chosen = [(text, store.resolve(text)) for text in texts]
    entries: list[Descriptor] = []
    docker: list[dict[str, Any]] = []
    blobs: dict[Digest, int] = {}
    for text, image in chosen:
        name = store.find_name(text) if not digests_only(text) else None
        entries.append(_index_entry(store, image, name))
        docker.append(_docker_entry(image, name))
        blobs.update(_parts(store, image))
    index = Index(schema_version=2, media_type=manifest.OCI_INDEX, manifests=tuple(entries))
    for path, body in (
        ("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
        ("index.json", manifest.encode(index)),
        ("manifest.json", json.dumps(docker).encode()),
    ):
        yield _header(path, len(body)) + body + b"\0" * (-len(body) % tarfile.BLOCKSIZE)
    for digest, size in sorted(blobs.items()):
        yield _header("blobs/" + digest.replace(":", "/"), size)
        async for chunk in file_chunks(store.content.path(digest)):
            yield chunk
        yield b"\0" * (-size % tarfile.BLOCKSIZE)
    yield b"\0" * (2 * tarfile.BLOCKSIZE)


async def load(store: ImageStore, chunks: AsyncIterator[bytes], spool: Path | None = None) -> list[Name]:
    """Read an archive of either kind, gzipped or not; returns the names that it brought. Raises Invalid, TooLarge."""
    with tempfile.TemporaryFile(dir=spool) as archive:
        async for chunk in chunks:
            await tasks.in_thread(archive.write, chunk)
        archive.seek(0)
        return await tasks.in_thread(load_file, store, archive)


def load_file(store: ImageStore, archive: BinaryIO) -> list[Name]:
    """Like `load`, from a file; blocks."""
    contents = _read_all(store.content, archive)
    if "index.json" in contents.texts:
        found = _oci_images(contents)
    elif "manifest.json" in contents.texts:
        found = _docker_images(store, contents)
    else:
        raise Invalid("archive: it holds neither index.json nor manifest.json, so it is no image archive")
    names = []
    for reference, digest in found:
        image = store.image(digest)
        for layer in image.manifest.layers:
            if store.content.info(layer.digest).size != layer.size:
                raise Invalid(f"archive: layer {layer.digest} has not the size {layer.size} that its manifest says")
        names.append(store.add(reference, digest, "loaded"))
    if not names:
        raise Invalid("archive: it holds no image")
    return names


def digests_only(text: str) -> bool:
    """Whether a text can only be an image id."""
    return re.fullmatch(r"(sha256:)?[0-9a-f]{12,64}", text) is not None


@dataclass(slots=True)
class _Contents:
    """What an archive held: blobs by path, small JSON files as bytes, symbolic links by path."""

    blobs: dict[str, BlobInfo] = field(default_factory=dict)
    texts: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def blob(self, path: str) -> BlobInfo:
        """The blob at a path, through the links that old docker archives have between layers."""
        path = posixpath.normpath(path)
        for _ in range(_SYMBOLIC_LINKS_MAX):
            if path in self.blobs:
                return self.blobs[path]
            if path not in self.links:
                break
            path = posixpath.normpath(posixpath.join(posixpath.dirname(path), self.links[path]))
        raise Invalid(f"archive: {path[:200]!r} is named but not in it")


def _read_all(content: ContentStore, archive: BinaryIO) -> _Contents:
    contents = _Contents()
    reader = TarReader(PlainReader(archive).read)
    for count, entry in enumerate(reader, start=1):
        if count > _ENTRIES_MAX:
            raise TooLarge(f"archive: more than {_ENTRIES_MAX} entries")
        path = posixpath.normpath(entry.name.decode("utf-8", "surrogateescape"))
        if entry.kind == tarfile.SYMTYPE:
            contents.links[path] = entry.link.decode("utf-8", "surrogateescape")
        elif entry.is_file and path in ("index.json", "manifest.json"):
            contents.texts[path] = _text(entry, reader)
        elif entry.is_file and path != "oci-layout":
            contents.blobs[path] = _ingest(content, reader, _BLOB.fullmatch(path))
    return contents


def _text(entry: Entry, reader: TarReader) -> bytes:
    if entry.size > manifest.SIZE_MAX:
        raise TooLarge(f"archive: {entry.shown} has {entry.size} bytes")
    return reader.content(entry.size)


def _ingest(content: ContentStore, reader: TarReader, named: re.Match[str] | None) -> BlobInfo:
    ingest = content.ingest()
    try:
        while piece := reader.content(_PIECE):
            ingest.write(piece)
        return ingest.commit(digests.parse(f"{named[1]}:{named[2]}") if named else None)
    finally:
        ingest.abort()


def _oci_images(contents: _Contents) -> list[tuple[Reference, Digest]]:
    index = manifest.parse(contents.texts["index.json"], manifest.OCI_INDEX)
    if not isinstance(index, Index):
        raise Invalid("archive: index.json is no index")
    return [(_reference_of(entry), entry.digest) for entry in index.manifests]


def _reference_of(entry: Descriptor) -> Reference:
    text = entry.annotations.get(_CONTAINERD_NAME) or entry.annotations.get(_REF_NAME)
    return references.parse(text) if text else references.parse(f"{UNNAMED}@{entry.digest}")


def _docker_images(store: ImageStore, contents: _Contents) -> list[tuple[Reference, Digest]]:
    try:
        rows = msgspec.json.decode(contents.texts["manifest.json"], type=list[_DockerRow])
    except msgspec.DecodeError as error:
        raise Invalid(f"archive: manifest.json: {error}") from error
    found: list[tuple[Reference, Digest]] = []
    for row in rows:
        digest = store.put(_docker_manifest(store.content, contents, row))
        found += [(references.parse(tag), digest) for tag in row.repo_tags or ()]
        if not row.repo_tags:
            found.append((references.parse(f"{UNNAMED}@{digest}"), digest))
    return found


class _DockerRow(msgspec.Struct, frozen=True, rename="pascal"):
    config: str
    layers: tuple[str, ...]
    repo_tags: tuple[str, ...] | None = None


def _docker_manifest(content: ContentStore, contents: _Contents, row: _DockerRow) -> Manifest:
    config = contents.blob(row.config)
    parsed = image_config.parse(read(content, config.digest, image_config.SIZE_MAX))
    layers = tuple(_layer(content, contents.blob(path)) for path in row.layers)
    if len(layers) != len(parsed.rootfs.diff_ids):
        raise Invalid(f"archive: {row.config[:80]} has {len(parsed.rootfs.diff_ids)} diffIDs for {len(layers)} layers")
    described = Descriptor(media_type=manifest.OCI_CONFIG, digest=config.digest, size=config.size)
    return Manifest(schema_version=2, media_type=manifest.OCI_MANIFEST, config=described, layers=layers)


def _layer(content: ContentStore, blob: BlobInfo) -> Descriptor:
    with open(content.path(blob.digest), "rb") as file:
        head = file.read(4)
    kind = manifest.OCI_LAYER
    if head.startswith(b"\x1f\x8b"):
        kind = manifest.OCI_LAYER_GZIP
    elif head == b"\x28\xb5\x2f\xfd":
        kind = manifest.OCI_LAYER_ZSTD
    return Descriptor(media_type=kind, digest=blob.digest, size=blob.size)


def _index_entry(store: ImageStore, image: Image, name: Name | None) -> Descriptor:
    """The name's own manifest where all of it is here; of an index that is not, this platform's."""
    body = read(store.content, image.digest, manifest.SIZE_MAX)
    annotations = {}
    if name is not None and name.parsed.tag:
        annotations = {_CONTAINERD_NAME: name.reference, _REF_NAME: name.reference}
    return Descriptor(
        media_type=manifest.type_of(image.manifest), digest=image.digest, size=len(body), annotations=annotations
    )


def _docker_entry(image: Image, name: Name | None) -> dict[str, Any]:
    return {
        "Config": _path(image.id),
        "RepoTags": [name.parsed.familiar] if name is not None and name.parsed.tag else [],
        "Layers": [_path(layer.digest) for layer in image.manifest.layers],
    }


def _parts(store: ImageStore, image: Image) -> dict[Digest, int]:
    digests_of_image = (image.digest, image.id, *(layer.digest for layer in image.manifest.layers))
    return {digest: store.content.info(digest).size for digest in digests_of_image}


def _path(digest: Digest) -> str:
    return "blobs/" + digest.replace(":", "/")


def _header(path: str, size: int) -> bytes:
    header = tarfile.TarInfo(path)
    header.size, header.mode = size, 0o644
    return header_bytes(header)
