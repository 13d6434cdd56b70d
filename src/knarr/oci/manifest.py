"""Manifests and indexes: what an image consists of (OCI image specification manifest.md, image-index.md; Docker v2.2).

A manifest is kept and served as the bytes that came; `Manifest` and `Index` are lenses on them. `parse` refuses what
is ambiguous: a body that is both a manifest and an index, or whose mediaType differs from how it is served.
"""

from typing import Any

import msgspec

from knarr.base.errors import BadRequest, Invalid, NotFound, TooLarge
from knarr.oci import digest as digests
from knarr.oci import platform as platforms
from knarr.oci.digest import Digest
from knarr.oci.image_config import without_null
from knarr.oci.platform import Platform

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = OCI_LAYER + "+gzip"
OCI_LAYER_ZSTD = OCI_LAYER + "+zstd"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"

MANIFEST_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEX_TYPES = (OCI_INDEX, DOCKER_INDEX)
ACCEPTED = (*MANIFEST_TYPES, *INDEX_TYPES)
"""Media types that knarr asks a registry for."""

SIZE_MAX = 4 << 20
LAYERS_MAX = 256
INDEX_ENTRIES_MAX = 1024


class Descriptor(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Names content: its type, digest and size. `urls` of foreign layers are read and never followed."""

    media_type: str
    digest: Digest
    size: int
    urls: tuple[str, ...] = ()
    annotations: dict[str, str] = {}
    platform: Platform | None = None
    artifact_type: str = ""


class Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One image: its configuration and its layers, lowest first."""

    schema_version: int
    media_type: str = ""
    artifact_type: str = ""
    config: Descriptor
    layers: tuple[Descriptor, ...] = ()
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


class Index(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """Several manifests under one name, one for each platform."""

    schema_version: int
    media_type: str = ""
    artifact_type: str = ""
    manifests: tuple[Descriptor, ...] = ()
    subject: Descriptor | None = None
    annotations: dict[str, str] = {}


def parse(content: bytes, media_type: str = "") -> Manifest | Index:
    """The lens on a manifest's bytes. `media_type` is how it was served ("" when nobody said).

    Raises TooLarge past 4 MiB, Invalid for anything that the specification does not allow.
    """
    if len(content) > SIZE_MAX:
        raise TooLarge(f"manifest: {len(content)} bytes are more than {SIZE_MAX}")
    fields = _decode(content)
    stated = fields.get("mediaType") or ""
    served = media_type.partition(";")[0].strip()
    if stated and served in ACCEPTED and stated != served:
        raise Invalid(f"manifest: mediaType {stated!r} is served as {served!r}")
    if "manifests" in fields and ("layers" in fields or "config" in fields):
        raise Invalid("manifest: it has both manifests and layers, so it could be read in two ways")
    kind = stated or served
    if kind in INDEX_TYPES or (kind not in MANIFEST_TYPES and "manifests" in fields):
        return _checked_index(_convert(fields, Index))
    if kind and kind not in MANIFEST_TYPES:
        raise Invalid(f"manifest: media type {kind[:120]!r} is not an image manifest or index")
    return _checked_manifest(_convert(fields, Manifest))


def encode(manifest: Manifest | Index) -> bytes:
    """Deterministic bytes of a manifest made here. A platform's `os` is a required member and always written."""
    if isinstance(manifest, Manifest):
        return msgspec.json.encode(manifest)
    members = msgspec.to_builtins(manifest)
    for entry in members.get("manifests", ()):
        if "platform" in entry:
            entry["platform"] = {"os": "linux", **entry["platform"]}
    return msgspec.json.encode(members)


def type_of(parsed: Manifest | Index, served: str = "") -> str:
    """The media type to serve a parsed manifest as."""
    if parsed.media_type or served:
        return parsed.media_type or served
    return OCI_INDEX if isinstance(parsed, Index) else OCI_MANIFEST


def select(index: Index, wanted: Platform) -> Descriptor:
    """The entry that fits the platform best; the first of equals. Raises NotFound naming what there is."""
    best, best_fitness = None, 0
    for entry in index.manifests:
        fits = platforms.fitness(entry.platform, wanted)
        if entry.media_type in ACCEPTED and fits > best_fitness:
            best, best_fitness = entry, fits
    if best is None:
        offered = ", ".join(str(entry.platform) for entry in index.manifests[:20] if entry.platform) or "none"
        raise NotFound(f"no manifest for platform {wanted}; the index offers {offered}")
    return best


def _decode(content: bytes) -> dict[str, Any]:
    try:
        fields = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"manifest: not JSON: {error}") from error
    if not isinstance(fields, dict) or fields.get("schemaVersion") != 2:
        raise Invalid("manifest: schemaVersion is not 2")
    return without_null(fields)  # type: ignore[no-any-return]  # a dict stays a dict


def _convert(fields: dict[str, Any], lens: type[Any]) -> Any:
    try:
        return msgspec.convert(fields, lens)
    except msgspec.ValidationError as error:
        raise Invalid(f"manifest: {error}") from error


def _checked_manifest(manifest: Manifest) -> Manifest:
    if len(manifest.layers) > LAYERS_MAX:
        raise Invalid(f"manifest.layers: {len(manifest.layers)} are more than {LAYERS_MAX}")
    for descriptor in (manifest.config, *manifest.layers, *filter(None, (manifest.subject,))):
        _check(descriptor)
    return manifest


def _checked_index(index: Index) -> Index:
    if len(index.manifests) > INDEX_ENTRIES_MAX:
        raise Invalid(f"manifest.manifests: {len(index.manifests)} are more than {INDEX_ENTRIES_MAX}")
    for descriptor in (*index.manifests, *filter(None, (index.subject,))):
        _check(descriptor)
    return index


def _check(descriptor: Descriptor) -> None:
    digests.parse(descriptor.digest)
    if descriptor.size < 0:
        raise Invalid(f"manifest: {descriptor.digest} has size {descriptor.size}")
