"""Images as one tar file: save writes an OCI layout that docker and podman load too; load reads both kinds.

The archive holds `oci-layout`, `index.json` and `blobs/` (OCI image specification, image-layout.md) and beside them
docker's `manifest.json`, which names the same blobs. Loading checks each blob's digest; names are kept as given.
Layers of a docker archive are plain tars and stay so.
"""

import contextlib
import json
import posixpath
import re
import tarfile
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from knarr.base import tasks
from knarr.base.errors import Invalid, NotFound, TooLarge, Unavailable
from knarr.images import gc, referrers
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
from knarr.wire import strict_json

_ENTRIES_MAX = 100_000
_PIECE = 1 << 20
_BLOB = re.compile(r"blobs/(sha256|sha512)/([0-9a-f]+)")
_CONTAINERD_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"
_SYMBOLIC_LINKS_MAX = 8
_SPOOL = Path("/var/tmp")  # noqa: S108  a disk, where /tmp may be memory; the file has no name there
UNNAMED = "docker.io/library/loaded"
"""The repository of images that an archive gives no name."""


async def save(store: ImageStore, texts: Sequence[str], *, with_referrers: bool = False) -> AsyncIterator[bytes]:
    """The archive of these images as a stream: of all platforms that are here, and what refers to them if that is
    wanted. Raises NotFound before the first byte."""
    chosen = [(text, store.resolve(text)) for text in texts]
    entries: list[Descriptor] = []
    docker: list[dict[str, Any]] = []
    for text, image in chosen:
        name = store.find_name(text) if not digests_only(text) else None
        top = _top(store, image)
        entries.append(_described(store, top, name.reference if name is not None and name.parsed.tag else ""))
        docker.append(_docker_entry(image, name))
        if with_referrers:
            entries += [found for found in _referrers(store, top, name) if found not in entries]
    blobs = _sizes(store, [entry.digest for entry in entries])
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
    with tempfile.TemporaryFile(dir=spool or _SPOOL) as archive:
        try:
            async for chunk in chunks:
                await tasks.in_thread(archive.write, chunk)
            archive.seek(0)
        except OSError as error:
            raise Unavailable(f"archive: it cannot be kept in {spool or _SPOOL}: {error.strerror}") from error
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
        if _subject(store, digest) is not None:
            continue
        if referrers.is_cosign_tag(reference.tag) or not _is_image(store, digest):
            _sizes(store, [digest])  # all of it is here
        else:
            _check_layers(store.image(digest), store.content)
        names.append(store.add(reference, digest, "loaded"))
    if not names:
        raise Invalid("archive: it holds no image")
    return names + _load_referrers(store, [digest for _, digest in found], names)


def _is_image(store: ImageStore, digest: Digest) -> bool:
    """Whether it is to run, and no other content that is kept as images are, such as a build cache."""
    parsed = manifest.parse(read(store.content, digest, manifest.SIZE_MAX))
    return isinstance(parsed, Index) or parsed.config.media_type in (manifest.OCI_CONFIG, manifest.DOCKER_CONFIG)


def _check_layers(image: Image, content: ContentStore) -> None:
    for layer in image.manifest.layers:
        if content.info(layer.digest).size != layer.size:
            raise Invalid(f"archive: layer {layer.digest} has not the size {layer.size} that its manifest says")


def _load_referrers(store: ImageStore, found: list[Digest], loaded: list[Name]) -> list[Name]:
    """Name what refers to the loaded images, or to what does, in their repositories."""
    repositories = {
        subject: name.parsed for name in loaded for subject in referrers.subjects(store.content, name.digest)
    }
    pending = {digest: subject for digest in found if (subject := _subject(store, digest)) is not None}
    names = []
    while placed := [digest for digest, subject in pending.items() if subject in repositories]:
        for digest in placed:
            repositories[digest] = repositories[pending.pop(digest)]
            _sizes(store, [digest])  # all of it is here
            names.append(store.add(repositories[digest].at(digest), digest, "loaded"))
    if pending:
        digest, subject = next(iter(pending.items()))
        raise Invalid(f"archive: {digest} refers to {subject}, which is not in it")
    return names


def _subject(store: ImageStore, digest: Digest) -> Digest | None:
    parsed = manifest.parse(read(store.content, digest, manifest.SIZE_MAX))
    return None if parsed.subject is None else parsed.subject.digest


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
    except strict_json.UNREADABLE as error:
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


def _top(store: ImageStore, image: Image) -> Digest:
    """The index that the image was chosen from where all of it is here, else this platform's manifest."""
    with contextlib.suppress(NotFound):
        _sizes(store, [image.name_digest])
        return image.name_digest
    return image.digest


def _referrers(store: ImageStore, top: Digest, name: Name | None) -> list[Descriptor]:
    """What is known here to refer to the image; cosign's under their tags."""
    found = [_described(store, digest, "") for digest, _ in referrers.known(store.content, store.names, top)]
    for tag, digest in referrers.tagged(store.content, store.names, top):
        found.append(_described(store, digest, str(name.parsed.tagged(tag)) if name is not None else ""))
    return found


def _described(store: ImageStore, digest: Digest, reference: str) -> Descriptor:
    body = read(store.content, digest, manifest.SIZE_MAX)
    annotations = {_CONTAINERD_NAME: reference, _REF_NAME: reference} if reference else {}
    kind = manifest.type_of(manifest.parse(body))
    return Descriptor(media_type=kind, digest=digest, size=len(body), annotations=annotations)


def _docker_entry(image: Image, name: Name | None) -> dict[str, Any]:
    return {
        "Config": _path(image.id),
        "RepoTags": [name.parsed.familiar] if name is not None and name.parsed.tag else [],
        "Layers": [_path(layer.digest) for layer in image.manifest.layers],
    }


def _sizes(store: ImageStore, roots: Iterable[Digest]) -> dict[Digest, int]:
    """The roots and every blob that they lead to, with sizes. Raises NotFound for one that is not here."""
    return {digest: store.content.info(digest).size for digest in gc.reached(store.content, roots)}


def _path(digest: Digest) -> str:
    return "blobs/" + digest.replace(":", "/")


def _header(path: str, size: int) -> bytes:
    header = tarfile.TarInfo(path)
    header.size, header.mode = size, 0o644
    return header_bytes(header)
